//! The files of operators: configuration files, environment variables and definitions take effect,
//! as a client sees.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};

use super::broker::{self, Broker};
use super::lapin::{block_on, connect};
use super::operation::external;

const CLUSTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/definitions/cluster.json");
const VHOST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/definitions/vhost.json");

#[test]
fn a_configuration_file_says_what_a_client_sees() {
    if external() {
        return;
    }
    let directory = broker::fresh_directory();
    let (main, more) = (directory.join("rabbitmq.conf"), directory.join("conf.d"));
    fs::create_dir(&more).expect("a directory of ours");
    let write = |path: &Path, text: &str| fs::write(path, text).expect("a directory of ours");
    write(&main, "\u{feff}# ours\nheartbeat = 17\nchannel_max = 5\nframe_max = 8KB\nmanagement.ssl.port = 15671\n");
    write(
        &more.join("10-user.conf"),
        "default_user = ann\ndefault_pass = 'a # b'\ndefault_vhost = work\ndefault_user_tags.monitoring = true\n",
    );
    write(&more.join("20-later.conf"), "heartbeat = 18 \t\r\nloopback_users.guest = false");
    let config = [main.display().to_string(), more.display().to_string()];
    let broker = Broker::start(&["--config", &config[0], "--config", &config[1], "--channel-max", "6"]);
    let known = broker.log();
    assert!(known.contains("rabbitmq.conf:5: management.ssl.port means nothing to this broker and is left out"), "{known}");
    block_on(async {
        let connection = connect(&url(&broker, "ann:a%20%23%20b", "work")).await;
        let tuned = connection.configuration();
        assert_eq!((tuned.heartbeat(), tuned.channel_max(), tuned.frame_max()), (18, 6, 8192));
        assert!(refused(&url(&broker, "guest:guest", "work")).await, "the default user is another");
        assert!(refused(&url(&broker, "ann:a%20%23%20b", "%2f")).await, "and so is its virtual host");
    });
    assert!(broker.stop().expect("this one is ours").success());
    fs::remove_dir_all(directory).expect("ours");
}

#[test]
fn the_environment_says_what_no_flag_says() {
    let directory = broker::fresh_directory();
    let file = directory.join("broken.conf");
    fs::write(&file, "heartbeat = often\n").expect("a directory of ours");
    let run = |flags: &[&str]| {
        let output = broker::command().args(flags).env("RABBITMQ_CONFIG_FILE", &file).current_dir(&directory).output();
        let output = output.expect("the binary starts");
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).expect("a sentence is text")
    };
    assert_eq!(run(&[]), format!("ringmq: {}:1: heartbeat: give a number from 0 to 65535\n", file.display()));
    assert_eq!(run(&["--config", "none.conf"]).lines().count(), 1);
    fs::remove_dir_all(&directory).expect("ours");
}

#[test]
fn a_container_s_variables_make_the_first_user() {
    if external() {
        return;
    }
    let set = |command: &mut Command| {
        command.env("RABBITMQ_DEFAULT_USER", "ann").env("RABBITMQ_DEFAULT_PASS", "secret").env("RABBITMQ_DEFAULT_VHOST", "work");
    };
    let broker = Broker::start_with(&[], set);
    block_on(async {
        connect(&url(&broker, "ann:secret", "work")).await;
        assert!(refused(&url(&broker, "guest:guest", "work")).await);
    });
    assert!(broker.stop().expect("this one is ours").success());
}

#[test]
fn definitions_are_there_before_the_first_client() {
    if external() {
        return;
    }
    let mut broker = Broker::start(&["--shards", "2", "--definitions", CLUSTER]);
    let said = broker.log();
    assert!(said.contains("queue 'orders.stream' in vhost 'shop' is left out"), "{said}");
    let alice = url(&broker, "alice:secret", "shop");
    block_on(async {
        use_what_is_defined(&alice).await;
        assert!(refused(&url(&broker, "alice:wrong", "shop")).await);
        assert!(refused(&url(&broker, "bob:secret", "shop")).await);
    });
    broker.restart("KILL", &["--shards", "2"]);
    block_on(use_what_is_defined(&alice));
    broker.restart("TERM", &["--shards", "1", "--definitions", CLUSTER]);
    let said = broker.log();
    assert!(said.contains("cluster.json: objects new or changed: 1,"), "only what does not survive a restart: {said}");
    block_on(use_what_is_defined(&alice));
    assert!(broker.stop().expect("this one is ours").success());
}

/// Publishes a message through the defined exchange and binding into the defined queue.
async fn use_what_is_defined(url: &str) {
    let connection = connect(url).await;
    let channel = connection.create_channel().await.expect("a channel");
    assert_passes(&channel).await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let (exchange, key) = (ShortString::from("orders.topic"), ShortString::from("orders.de"));
    let properties = BasicProperties::default().with_delivery_mode(2);
    let confirm = channel.basic_publish(exchange, key, BasicPublishOptions::default(), b"one", properties).await.expect("a publish");
    confirm.await.expect("a confirm");
    let got = channel.basic_get("orders.new".into(), BasicGetOptions { no_ack: true }).await.expect("a get").expect("a message");
    assert_eq!(got.delivery.data, b"one");
}

async fn assert_passes(channel: &Channel) {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    for queue in ["orders.new", "orders.quorum", "default-type", "odd"] {
        channel.queue_declare(queue.into(), passive, FieldTable::default()).await.expect(queue);
    }
    let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare("ärger".into(), ExchangeKind::Direct, passive, FieldTable::default()).await.expect("an exchange");
}

#[test]
fn definitions_move_from_one_directory_to_another() {
    let directory = broker::fresh_directory();
    let (one, other, out) = (directory.join("one"), directory.join("other"), directory.join("out.json"));
    let task = |words: &[&str], data_dir: &Path, file: Option<&Path>| definitions(words, data_dir, file);
    let imported = task(&["import"], &one, Some(Path::new(CLUSTER)));
    assert!(imported.status.success() && text(&imported.stderr).contains("orders.stream"), "{imported:?}");
    assert!(task(&["import"], &one, Some(Path::new(VHOST))).status.success(), "a file of one virtual host");
    assert!(task(&["export"], &one, Some(&out)).status.success());
    let again = task(&["import"], &other, Some(&out));
    assert!(again.status.success() && !text(&again.stderr).contains("left out"), "{again:?}");
    let printed = task(&["export"], &other, None);
    assert_eq!(text(&printed.stdout), fs::read_to_string(&out).expect("written"));
    let configuration = directory.join("rabbitmq.conf");
    fs::write(&configuration, "default_users.ops.vhost_pattern = ^shop").expect("ours");
    let third = directory.join("third");
    assert!(task(&["import", "--config", configuration.to_str().expect("text")], &third, Some(&out)).status.success());
    assert!(
        text(&task(&["export"], &third, None).stdout).contains(r#""name": "ops""#),
        "new virtual hosts get what the configuration says"
    );
    let nowhere = task(&["export"], &directory.join("nowhere"), None);
    assert!(!nowhere.status.success() && text(&nowhere.stderr).contains("is not a data directory"), "{nowhere:?}");
    fs::write(&out, r#"{"queues": [{"name": "q"}]}"#).expect("ours");
    let wrong = task(&["import"], &other, Some(&out));
    assert_eq!(text(&wrong.stderr), format!("ringmq: {}: queue 'q': missing field `vhost`\n", out.display()));
    fs::remove_dir_all(directory).expect("ours");
}

#[test]
fn definitions_of_a_running_broker_are_its_own() {
    if external() {
        return;
    }
    let broker = Broker::start(&["--shards", "1"]);
    let refused = definitions(&["export"], &broker.data_dir(), None);
    assert!(!refused.status.success() && text(&refused.stderr).contains("is in use by another broker"), "{refused:?}");
    assert!(broker.stop().expect("this one is ours").success());
}

fn definitions(words: &[&str], data_dir: &Path, file: Option<&Path>) -> Output {
    let mut command = broker::command();
    command.arg("definitions").args(words).arg("--data-dir").arg(data_dir).args(file);
    command.output().expect("the binary starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// Returns the URL of a user and a virtual host of this broker.
fn url(broker: &Broker, user: &str, vhost: &str) -> String {
    let address = broker.url().split(['@', '/']).nth(3).expect("the address stands between @ and /");
    format!("amqp://{user}@{address}/{vhost}")
}

async fn refused(url: &str) -> bool {
    Connection::connect(url, ConnectionProperties::default()).await.is_err()
}
