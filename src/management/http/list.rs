//! The query parameters of every list: `sort`, `sort_reverse`, `columns`, and paging.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::{Content, Page, Paging, Params, Refusal};

/// The wanted order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sort {
    /// The key, nested by dots; none: the list's own order.
    key: Option<Vec<String>>,
    reverse: bool,
}

/// The wanted keys, nested by dots; none: all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Columns(Option<Vec<Vec<String>>>);

impl Sort {
    /// Reads the parameters.
    pub fn parse(params: &Params) -> Sort {
        let key = params.get("sort").filter(|key| !key.is_empty()).map(nested);
        Sort { key, reverse: params.is_true("sort_reverse") }
    }

    /// Whether the list keeps its own order, or is only turned around.
    pub fn is_own(&self) -> bool {
        self.key.is_none()
    }

    /// Whether the order is turned around.
    pub fn is_reverse(&self) -> bool {
        self.reverse
    }

    /// The first name of the key.
    pub fn field(&self) -> Option<&str> {
        self.key.as_ref()?.first().map(String::as_str)
    }

    /// The value of an object that decides its place; none if there is none, or in the list's own
    /// order.
    pub fn value<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        find(object, self.key.as_ref()?)
    }

    fn apply(&self, items: &mut [Value]) {
        if let Some(key) = &self.key {
            items.sort_by(|left, right| compare(find(left, key), find(right, key)));
        }
        if self.reverse {
            items.reverse();
        }
    }
}

impl Columns {
    /// Reads the parameter.
    pub fn parse(params: &Params) -> Columns {
        let columns = params.get("columns").filter(|columns| !columns.is_empty());
        Columns(columns.map(|columns| columns.split(',').map(str::trim).map(nested).collect()))
    }

    /// Whether all wanted keys are among these, so that nothing else needs to be found out.
    pub fn are_among(&self, keys: &[&str]) -> bool {
        self.0.as_ref().is_some_and(|columns| columns.iter().all(|path| keys.contains(&&*path[0])))
    }

    /// Leaves out of an object what is not wanted.
    pub fn pick(&self, value: Value) -> Value {
        match (&self.0, value) {
            (Some(columns), Value::Object(object)) => {
                let mut picked = Map::new();
                columns.iter().for_each(|path| copy(&object, path, &mut picked));
                picked.into()
            }
            (_, value) => value,
        }
    }
}

/// Applies the parameters to a list.
///
/// # Errors
/// There is no such page.
pub fn shape(mut items: Vec<Value>, params: &Params) -> Result<Content, Refusal> {
    let (sort, columns) = (Sort::parse(params), Columns::parse(params));
    let Some(paging) = Paging::parse(params)? else {
        sort.apply(&mut items);
        return Ok(Content::List(items.into_iter().map(|item| columns.pick(item)).collect()));
    };
    let total = items.len();
    if !paging.accepts_all() {
        items.retain(|item| item.get("name").and_then(Value::as_str).is_some_and(|name| paging.accepts(name)));
    }
    sort.apply(&mut items);
    let (filtered, range) = (items.len(), paging.range(items.len())?);
    let items = items.drain(range).collect();
    Ok(Content::One(shape_page(paging.page(items, filtered, total), params)))
}

/// Applies the parameters to what is no list of its own.
pub fn shape_one(value: Value, params: &Params) -> Value {
    Columns::parse(params).pick(value)
}

/// Applies the columns to a page that was cut before.
pub fn shape_page(page: Page, params: &Params) -> Value {
    let columns = Columns::parse(params);
    page.into_json(|item| columns.pick(item))
}

fn nested(path: &str) -> Vec<String> {
    path.split('.').map(str::to_owned).collect()
}

/// The value at a path. A key may itself contain dots, as those of arguments do.
fn find<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(key)).or_else(|| {
        let (first, rest) = path.split_first().filter(|(_, rest)| rest.len() > 1)?;
        value.get(first)?.get(rest.join("."))
    })
}

/// Copies the value at a path, with the objects on its way. A missing one leaves an empty object, as
/// far as there are objects.
fn copy(from: &Map<String, Value>, path: &[String], to: &mut Map<String, Value>) {
    let Some((key, rest)) = path.split_first() else { return };
    match from.get(key) {
        None => {}
        Some(value) if rest.is_empty() => _ = to.insert(key.clone(), value.clone()),
        Some(Value::Object(inner)) => {
            let place = to.entry(key.clone()).or_insert_with(|| Map::new().into());
            let Value::Object(place) = place else { return };
            match inner.get(&rest.join(".")) {
                Some(value) => _ = place.insert(rest.join("."), value.clone()),
                None => copy(inner, rest, place),
            }
        }
        Some(_) => {}
    }
}

/// The order of values of any types: what is missing first, then numbers, booleans, texts, and
/// objects, which are all equal.
pub fn compare(left: Option<&Value>, right: Option<&Value>) -> Ordering {
    match (left, right) {
        (Some(Value::Number(left)), Some(Value::Number(right))) => {
            left.as_f64().unwrap_or_default().total_cmp(&right.as_f64().unwrap_or_default())
        }
        (Some(Value::String(left)), Some(Value::String(right))) => left.cmp(right),
        (Some(Value::Bool(left)), Some(Value::Bool(right))) => left.cmp(right),
        _ => rank(left).cmp(&rank(right)),
    }
}

fn rank(value: Option<&Value>) -> u8 {
    match value {
        None | Some(Value::Null) => 0,
        Some(Value::Number(_)) => 1,
        Some(Value::Bool(_)) => 2,
        Some(Value::String(_)) => 3,
        Some(Value::Array(_) | Value::Object(_)) => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shaped(items: Value, query: &str) -> Value {
        let Value::Array(items) = items else { panic!("a list") };
        match shape(items, &Params::parse(query)) {
            Ok(Content::List(items)) => items.into(),
            Ok(Content::One(page)) => page,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn values_of_any_type_are_sorted() {
        let items = json!([{"k": "b"}, {"k": 2.5}, {"n": 1}, {"k": "a"}, {"k": {}}, {"k": -1}, {"k": true}, {"k": null}]);
        let sorted = json!([{"n": 1}, {"k": null}, {"k": -1}, {"k": 2.5}, {"k": true}, {"k": "a"}, {"k": "b"}, {"k": {}}]);
        assert_eq!(shaped(items.clone(), "sort=k"), sorted);
        assert_eq!(shaped(items.clone(), "sort="), items);
        assert_eq!(shaped(items.clone(), "sort=other"), items);
        assert_eq!(shaped(json!([1, 2]), "sort_reverse=true"), json!([2, 1]));
    }

    #[test]
    fn columns_are_nested_by_dots() {
        let item = json!({"name": "q", "arguments": {"x.y": 1, "z": 2}, "stats": {"rate": {"now": 1.5, "old": 1}}, "messages": 3});
        let pick = |columns: &str| shaped(json!([item.clone()]), &format!("columns={columns}"))[0].clone();
        assert_eq!(pick("name,messages"), json!({"name": "q", "messages": 3}));
        assert_eq!(pick("stats.rate.now,arguments.x.y"), json!({"stats": {"rate": {"now": 1.5}}, "arguments": {"x.y": 1}}));
        assert_eq!(pick("none,stats.none,name.none"), json!({"stats": {}}));
        assert_eq!(pick(""), item);
    }

    #[test]
    fn a_page_is_filtered_then_sorted_then_cut() {
        let items = json!([{"name": "a1"}, {"name": "b"}, {"name": "a3"}, {"name": "a2"}]);
        let page = shaped(items, "page=1&page_size=2&name=A&sort=name&sort_reverse=true");
        assert_eq!(page["items"], json!([{"name": "a3"}, {"name": "a2"}]));
        assert_eq!((&page["filtered_count"], &page["total_count"], &page["page_count"]), (&json!(3), &json!(4), &json!(2)));
    }
}
