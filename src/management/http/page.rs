//! Paging: `page` switches it on; `page_size`, `name` and `use_regex` count only then.

use std::ops::Range;

use fancy_regex::{BytesMode, RegexBuilder};
use serde_json::{Value, json};

use super::{Params, Refusal};
use crate::management::name_pattern::NamePattern;
use hyper::StatusCode;

/// The wanted page, and the filter of names.
pub struct Paging {
    number: usize,
    size: usize,
    filter: Filter,
}

enum Filter {
    All,
    /// A text in lower case that is a part of the name.
    Part(String),
    Pattern(Box<NamePattern>),
    /// The pattern is wrong: nothing matches.
    None,
}

/// A page of a list.
#[derive(Clone, PartialEq, Debug)]
pub struct Page {
    items: Vec<Value>,
    number: usize,
    size: usize,
    filtered: usize,
    total: usize,
}

impl Paging {
    /// Reads the parameters. None: the whole list is wanted.
    ///
    /// # Errors
    /// They are no numbers, or out of range.
    pub fn parse(params: &Params) -> Result<Option<Paging>, Refusal> {
        let Some(page) = params.get("page") else { return Ok(None) };
        let number = |text: &str| text.parse::<i64>().map_err(|_| Refusal::bad_request("Pagination parameters are invalid"));
        let (page, size) = (number(page)?, params.get("page_size").map(number).transpose()?);
        let size_text = size.map_or("undefined".to_owned(), |size| size.to_string());
        match (usize::try_from(page), usize::try_from(size.unwrap_or(SIZE))) {
            (Ok(number @ 1..), Ok(size @ 1..=SIZE_MAX)) => Ok(Some(Paging { number, size, filter: Filter::parse(params)? })),
            _ => {
                let reason = format!("Invalid pagination parameters: page number {page}, page size {size_text}");
                Err(Refusal::told(StatusCode::BAD_REQUEST, "invalid_pagination_parameters", reason))
            }
        }
    }

    /// Whether the filter accepts a name.
    pub fn accepts(&self, name: &str) -> bool {
        match &self.filter {
            Filter::All => true,
            Filter::Part(part) => name.to_lowercase().contains(part.as_str()),
            Filter::Pattern(pattern) => pattern.matches(name),
            Filter::None => false,
        }
    }

    /// Whether the filter accepts every name.
    pub fn accepts_all(&self) -> bool {
        matches!(self.filter, Filter::All)
    }

    /// The places of the page in a list of this length, which was filtered.
    ///
    /// # Errors
    /// The list has no such page.
    pub fn range(&self, len: usize) -> Result<Range<usize>, Refusal> {
        let from = (self.number - 1).saturating_mul(self.size);
        if from >= len && self.number > 1 {
            let reason = format!("Page out of range, page: {} page size: {}, len: {len}", self.number, self.size);
            return Err(Refusal::told(StatusCode::BAD_REQUEST, "page_out_of_range", reason));
        }
        Ok(from..len.min(from.saturating_add(self.size)))
    }

    /// Makes the page of these items; `filtered` is the length of the list after the filter, `total`
    /// before it.
    pub fn page(&self, items: Vec<Value>, filtered: usize, total: usize) -> Page {
        Page { items, number: self.number, size: self.size, filtered, total }
    }
}

impl Filter {
    fn parse(params: &Params) -> Result<Filter, Refusal> {
        let Some(name) = params.get("name").filter(|name| !name.is_empty()) else { return Ok(Filter::All) };
        if name.len() > NAME_MAX {
            return Err(Refusal::bad_request(format!("the filter of names has more than {NAME_MAX} bytes")));
        }
        if !params.is_true("use_regex") {
            return Ok(Filter::Part(name.to_lowercase()));
        }
        let mut builder = RegexBuilder::new(&format!("(?i){name}"));
        builder.bytes_mode(BytesMode::Ascii).unicode_mode(false);
        Ok(NamePattern::new(&mut builder).map_or(Filter::None, |pattern| Filter::Pattern(Box::new(pattern))))
    }
}

impl Page {
    /// The JSON around the items, which are changed before by `change`.
    pub fn into_json(self, change: impl FnMut(Value) -> Value) -> Value {
        let Page { items, number, size, filtered, total } = self;
        json!({
            "item_count": items.len(),
            "items": items.into_iter().map(change).collect::<Vec<_>>(),
            "page": number,
            "page_size": size,
            "page_count": filtered.div_ceil(size),
            "filtered_count": filtered,
            "total_count": total,
        })
    }
}

const SIZE: i64 = 100;
const SIZE_MAX: usize = 500;
const NAME_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn paging(query: &str) -> Result<Option<Paging>, Refusal> {
        Paging::parse(&Params::parse(query))
    }

    fn reason<T>(refused: Result<T, Refusal>) -> String {
        match refused {
            Err(Refusal::Told { error, reason, .. }) => format!("{error}: {reason}"),
            _ => "taken".to_owned(),
        }
    }

    #[test]
    fn pages_are_numbered_from_one() {
        let invalid = |rest: &str| format!("invalid_pagination_parameters: Invalid pagination parameters: page number {rest}");
        for (query, expected) in [
            ("page=0", invalid("0, page size undefined")),
            ("page=-1", invalid("-1, page size undefined")),
            ("page=1&page_size=0", invalid("1, page size 0")),
            ("page=1&page_size=501", invalid("1, page size 501")),
            ("page=x", "bad_request: Pagination parameters are invalid".into()),
            ("page=1&page_size=500", "taken".into()),
        ] {
            assert_eq!(reason(paging(query)), expected, "{query}");
        }
        assert!(paging("page_size=2&name=x").is_ok_and(|paging| paging.is_none()));
    }

    #[test]
    fn a_page_is_cut_from_the_filtered_list() {
        let range = |query: &str, len| paging(query).expect("in order").expect("a page").range(len);
        assert_eq!(range("page=2&page_size=2", 3), Ok(2..3));
        assert_eq!(range("page=1", 0), Ok(0..0));
        assert_eq!(reason(range("page=2", 0)), "page_out_of_range: Page out of range, page: 2 page size: 100, len: 0");
        assert_eq!(reason(range("page=100&page_size=2", 19)), "page_out_of_range: Page out of range, page: 100 page size: 2, len: 19");
        let paging = paging("page=2&page_size=2").expect("in order").expect("a page");
        let page = paging.page(vec![json!(1)], 3, 5).into_json(|item| item);
        let expected =
            json!({"item_count": 1, "items": [1], "page": 2, "page_size": 2, "page_count": 2, "filtered_count": 3, "total_count": 5});
        assert_eq!(page, expected);
    }

    #[test]
    fn names_are_filtered_without_case() {
        let accepts = |query: &str, name: &str| paging(query).expect("in order").expect("a page").accepts(name);
        assert!(accepts("page=1&name=JOB", "my jobs") && !accepts("page=1&name=JOB", "jo"));
        assert!(accepts("page=1&name=%5EQ%5C.&use_regex=true", "q.1") && !accepts("page=1&name=%5EQ%5C.&use_regex=true", "aq."));
        assert!(!accepts("page=1&name=(&use_regex=true", "("));
        assert!(accepts("page=1&name=", "any"));
    }
}
