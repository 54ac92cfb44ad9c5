//! The import of definitions into a catalog: existing objects that are as the definitions say stay,
//! missing objects are made, and objects that cannot be made are left out.
//!
//! The catalog is not in use yet: it was read from the disk, and no connection was accepted.

use std::collections::HashMap;

use super::export::administration;
use super::steps::Step;
use crate::base::ids::ShardId;
use crate::broker::catalog::defaults::completed;
use crate::broker::catalog::{Catalog, Saved, Verdict};
use crate::config::defaults::Defaults;
use crate::contract::{Administration, Command, Password, UserSpec};

/// The result of an import.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Imported {
    /// The changes, in order.
    pub changes: Vec<Saved>,
    /// Number of objects that existed already.
    pub present: usize,
    /// The objects that could not be made, and why: one sentence each.
    pub left_out: Vec<String>,
}

/// The homes and numbers of new queues.
pub struct Homes {
    /// Number of shards.
    pub shards: u16,
    /// The first number that no queue has used.
    pub next_number: u64,
}

/// Carries out the steps. Passwords that are not hashed yet are hashed with a salt, and new virtual
/// hosts get the configured defaults.
pub fn import(
    catalog: &mut Catalog,
    steps: Vec<Step>,
    mut homes: Homes,
    defaults: &Defaults,
    mut salt: impl FnMut() -> [u8; 4],
) -> Imported {
    let present: HashMap<String, Command> =
        administration(catalog).steps().expect("the catalog is in order").into_iter().map(|step| (step.object, step.command)).collect();
    let mut imported = Imported::default();
    for Step { object, command } in steps {
        let command = completed(command, defaults);
        if present.get(&object).is_some_and(|present| is_met(&command, present)) {
            imported.present += 1;
            continue;
        }
        let home = ShardId((homes.next_number % u64::from(homes.shards)) as u16);
        match catalog.check_command(&command.hashed(&mut salt), home) {
            Ok(Verdict::Change(change)) => {
                let change = change.numbered(&mut homes.next_number);
                let new_vhost = catalog.new_vhost(&change);
                catalog.apply(&change);
                imported.changes.push(Saved::Change(change));
                let added = new_vhost.map(|vhost| catalog.add_defaults(&vhost, defaults, &mut salt));
                imported.changes.extend(added.into_iter().flatten().map(Saved::Change));
            }
            Ok(Verdict::Already | Verdict::Queue(_)) => imported.present += 1,
            Err(fault) => imported.left_out.push(format!("{object} is left out: {}", fault.text)),
        }
    }
    imported
}

/// Whether the present object is as wanted. For the password of a user it is enough if none is
/// given, or if the hash is that of the given one.
fn is_met(wanted: &Command, present: &Command) -> bool {
    let (Some(wanted), Some(present)) = (put_user(wanted), put_user(present)) else { return wanted == present };
    let same_password = match (&wanted.password, &present.password) {
        (None, _) => true,
        (Some(Password::Plain(password)), Some(Password::Hashed(hash))) => hash.is_of(password),
        (wanted, present) => wanted == present,
    };
    same_password && wanted.tags == present.tags
}

fn put_user(command: &Command) -> Option<&UserSpec> {
    match command {
        Command::Administration(Administration::PutUser(spec)) => Some(spec),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Definitions, export};
    use super::*;
    use crate::broker::catalog::Change;
    use crate::config::Founding;
    use serde_json::Value;

    fn steps(text: &str) -> Vec<Step> {
        Definitions::read(text).and_then(|definitions| definitions.steps()).expect("definitions")
    }

    fn load(catalog: &mut Catalog, text: &str) -> Imported {
        let next_number = catalog.queues().map(|queue| queue.number + 1).max().unwrap_or(1);
        import(catalog, steps(text), Homes { shards: 3, next_number }, &Defaults::default(), || *b"salt")
    }

    /// Returns the objects of one kind, as sorted JSON.
    fn objects(definitions: &Definitions, kind: &str) -> Vec<String> {
        let all = serde_json::to_value(definitions).expect("JSON");
        let mut objects: Vec<String> = all[kind].as_array().expect("a list").iter().map(Value::to_string).collect();
        objects.sort();
        objects
    }

    const CLUSTER: &str = include_str!("../../tests/definitions/cluster.json");

    #[test]
    fn a_file_of_rabbitmq_s_is_loaded_whole_and_comes_out_again() {
        let mut catalog = Catalog::made_by(&[]);
        let imported = load(&mut catalog, CLUSTER);
        let expected = [
            "queue 'orders.stream' in vhost 'shop' is left out: invalid arg 'x-queue-type' for queue 'orders.stream' in vhost 'shop': \
             \"unsupported queue type 'stream'\"",
            "binding from exchange 'gone-with-bindings' to exchange 'inner' in vhost 'shop' is left out: no exchange 'inner' in vhost 'shop'",
        ];
        assert_eq!(imported.left_out, expected);
        let (given, exported) = (Definitions::read(CLUSTER).expect("as above"), export(&catalog));
        // The number of RabbitMQ's own objects, and of those that are left out.
        let missing = |kind: &str| match kind {
            "queues" | "exchanges" | "bindings" => 1,
            _ => 0,
        };
        for kind in ["users", "vhosts", "permissions", "topic_permissions", "parameters", "global_parameters", "policies"] {
            assert_eq!(objects(&exported, kind), objects(&given, kind), "{kind}");
        }
        for kind in ["queues", "exchanges", "bindings"] {
            let (given, exported) = (objects(&given, kind), objects(&exported, kind));
            assert!(exported.iter().all(|object| given.contains(object)), "{kind}: {exported:?}");
            assert_eq!(exported.len() + missing(kind), given.len(), "{kind}");
        }
        assert!(catalog.queues().all(|queue| queue.number > 0 && queue.addr.home.0 < 3));
    }

    #[test]
    fn what_is_there_already_is_left_alone() {
        let mut catalog = Catalog::new();
        let first = load(&mut catalog, CLUSTER);
        assert!(!first.changes.is_empty());
        let again = load(&mut catalog, CLUSTER);
        assert_eq!((again.changes, again.present), (vec![], first.present + first.changes.len()));
        let own = export(&catalog).write();
        assert_eq!(load(&mut catalog, &own).changes, vec![]);
        let mut other = Catalog::made_by(&[]);
        assert_eq!(load(&mut other, &own).left_out, Vec::<String>::new());
        assert_eq!(export(&other), export(&catalog));
    }

    #[test]
    fn what_is_there_otherwise_changes_if_it_can() {
        let mut catalog = Catalog::new();
        let file = |tags: &str, password: &str, durable: bool| {
            format!(
                r#"{{"users": [{{"name": "u", "tags": "{tags}", {password}}}],
                     "queues": [{{"name": "q", "vhost": "/", "durable": {durable}}}]}}"#
            )
        };
        assert_eq!(load(&mut catalog, &file("a", r#""password": "p""#, true)).changes.len(), 2);
        let user = |catalog: &Catalog| {
            let user = catalog.user_by_name("u").expect("made");
            (user.password.is_of(b"p"), user.password.is_of(b"other"), user.tags.len())
        };
        assert_eq!(user(&catalog), (true, false, 1));
        assert_eq!(load(&mut catalog, &file("a", r#""password": "p""#, true)).changes, vec![]);
        let changed = load(&mut catalog, &file("a,b", r#""password": "other""#, false));
        assert_eq!((changed.changes.len(), user(&catalog)), (1, (false, true, 2)));
        let text = "queue 'q' in vhost '/' is left out: inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current \
                    is 'true'";
        assert_eq!(changed.left_out, [text]);
    }

    #[test]
    fn what_has_no_place_is_left_out() {
        let mut catalog = Catalog::made_by(&Change::founding(&Founding { vhost: "v".into(), ..Founding::default() }, None, *b"salt"));
        let text = r#"{"permissions": [{"user": "nobody", "vhost": "v", "configure": "", "write": "", "read": ""},
                                       {"user": "guest", "vhost": "v", "configure": "(", "write": "", "read": ""}],
                       "queues": [{"name": "q", "vhost": "nowhere"}, {"name": "amq.gen-1", "vhost": "v"}],
                       "exchanges": [{"name": "e", "vhost": "v", "type": "x-odd"}, {"name": "", "vhost": "v", "type": "direct"}]}"#;
        let imported = load(&mut catalog, text);
        let expected = [
            "permission of user 'nobody' in vhost 'v' is left out: User 'nobody' does not exist",
            "permission of user 'guest' in vhost 'v' is left out: invalid regexp",
            "queue 'q' in vhost 'nowhere' is left out: Virtual host 'nowhere' does not exist",
            "exchange 'e' in vhost 'v' is left out: unknown exchange type 'x-odd'",
        ];
        assert_eq!(imported.left_out.len(), expected.len());
        for (said, expected) in imported.left_out.iter().zip(expected) {
            assert!(said.starts_with(expected), "{said}");
        }
    }
}
