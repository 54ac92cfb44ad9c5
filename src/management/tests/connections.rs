//! Connections over HTTP.

use super::shapes::{CONNECTION, numbers};
use super::*;

#[test]
fn connections_are_seen_by_their_users_and_closed_by_administrators() {
    with_server(Config::default(), numbers(), |client| async move {
        let user = |name: &str, tags: &str| (format!("/api/users/{name}"), format!(r#"{{"password": "pw", "tags": "{tags}"}}"#));
        for (path, body) in [user("man", "management"), user("mon", "monitoring")] {
            assert_eq!(client.put(&path, &body).await.status, 201);
        }
        let count =
            async |user: &str| client.send("GET", "/api/connections", Some(user), "", "").await.json().as_array().expect("a list").len();
        assert_eq!((count("man:pw").await, count("mon:pw").await), (0, 1));
        let path = format!("/api/connections/{CONNECTION}");
        let close = async |user: &str| client.send("DELETE", &path, Some(user), "", "").await.status;
        assert_eq!((close("man:pw").await, close("mon:pw").await), (401, 401));
        assert_eq!(client.get("/api/connections/username/guest").await.json()[0]["user"], "guest");
        assert_eq!((close("guest:guest").await, close("guest:guest").await), (204, 404));
    });
}
