//! Settings in RabbitMQ's words → RingMQ's flags.
//!
//! ```text
//! files, environment ─ conf::parse ─▶ Setting ─ known? ─▶ flag=value ─▶ read like the command line
//!                                              └ no: a warning
//! ```
//!
//! A setting is no second way to configure anything: it is the flag of [`KNOWN`] in RabbitMQ's
//! notation, whose units differ from ours. Of two settings with one key the later one counts.

use std::net::SocketAddr;

use super::auth::Mechanism;
use super::conf::Setting;
use super::defaults::Defaults;
use super::keys::KNOWN;
use super::units::{byte_size, information_unit};
use super::values;

/// A flag that a setting stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Given {
    /// The name, without `--`.
    pub flag: &'static str,
    /// The argument, as on the command line.
    pub argument: String,
    /// The place of the setting, and its key.
    pub place: String,
}

/// The notation of a value in RabbitMQ.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// The same as the flag's.
    Same,
    /// A number of bytes, or with units that are powers of 1024 (`128KB`).
    ByteSize,
    /// A number of bytes, or with units of either kind (`2GB`, `2GiB`).
    InformationUnit,
    /// A fraction of the memory, up to 1.
    Share,
    /// A multiple of the memory.
    Multiple,
    /// A number, or `infinity`, which stands for this number.
    OrInfinity(&'static str),
    /// A port of every address, or an address and a port.
    Listener,
    /// A port, or an address: the key beside it, `port` or `ip`, is the other part. Without it
    /// there is this port of every address.
    Endpoint(u16),
    /// The flag is given if the value is true.
    If,
    /// The flag is given if the value is false.
    Unless,
    /// A level of RabbitMQ's log.
    Level,
    /// The source of definitions: files, or a web server.
    Backend,
    /// The flag is given with this value if definitions come from files.
    FromFiles,
    /// The flag is given with this value if definitions come from a web server.
    FromServer,
    /// The flag is given if the server is not to be verified.
    NoVerify,
    /// `KEY.NAME = true`, for each name of a list.
    Names,
    /// `none`: the list is empty.
    NoNames,
    /// `KEY.ANY = PLAIN`, for each mechanism of a list.
    Mechanisms,
    /// `KEY.ANY = VALUE`, for each value of a list.
    Values,
}

/// Warnings about settings that this broker does not know.
pub type Warnings = Vec<String>;

/// The settings in the variables of the environment that RabbitMQ's container image knows.
pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Vec<Setting> {
    let setting = |&(name, key): &(&str, &str)| Some(Setting { key: vec![key.into()], value: variable(name)?, place: name.into() });
    VARIABLES.iter().filter_map(setting).collect()
}

/// The flags that the settings stand for, and the defaults of new virtual hosts, which are no
/// flags.
///
/// # Errors
/// One sentence: which setting has a wrong value.
pub fn flags(settings: &[Setting]) -> Result<(Vec<Given>, Defaults, Warnings), String> {
    let (mut given, mut defaults, mut warnings) = (Vec::new(), Defaults::default(), Warnings::new());
    for (at, setting) in settings.iter().enumerate() {
        let key = setting.key.join(".");
        let place = format!("{}: {key}", setting.place);
        if let Some(taken) = defaults.take(setting) {
            check_readable(setting, &place)?;
            taken.map_err(|why| format!("{place}: {why}"))?;
            continue;
        }
        let Some((_, flag, form)) = KNOWN.iter().find(|(known, ..)| is(known, &setting.key)) else {
            warnings.push(format!("{}: {key} means nothing to this broker and is left out", setting.place));
            continue;
        };
        if matches!(form, Form::Mechanisms) && Mechanism::named(&setting.value).is_none() {
            warnings.push(format!("{}: {key}: this broker has no mechanism {}", setting.place, setting.value));
        }
        if settings[at + 1..].iter().any(|later| later.key == setting.key) || is_outdone(setting, settings) {
            continue;
        }
        check_readable(setting, &place)?;
        let value = form.read(setting, settings).map_err(|why| format!("{place}: {why}"))?;
        given.extend(value.map(|value| Given { flag, argument: format!("--{flag}{value}"), place }));
    }
    Ok((given, defaults, warnings))
}

fn check_readable(setting: &Setting, place: &str) -> Result<(), String> {
    if setting.value.starts_with("encrypted:") {
        return Err(format!(
            "{place} is encrypted, and this broker has no key to decrypt it: give the plain value, in a file that others cannot read"
        ));
    }
    Ok(())
}

/// Whether a key is this one; `*` stands for any name.
pub(super) fn is(known: &str, key: &[String]) -> bool {
    known.split('.').count() == key.len() && known.split('.').zip(key).all(|(known, name)| known == "*" || known == name)
}

/// Whether another setting overrides this one: an absolute limit a relative one, and `none` all
/// names, wherever they stand.
fn is_outdone(setting: &Setting, settings: &[Setting]) -> bool {
    let Some((last, parents)) = setting.key.split_last() else { return false };
    let is_absolute = |other: &Setting| other.key.split_last().is_some_and(|(last, others)| last == "absolute" && others == parents);
    last == "relative" && settings.iter().any(is_absolute) || settings.iter().any(|other| other.key == parents)
}

impl Form {
    /// The text behind the flag's name; none if the flag is not given.
    fn read(self, setting: &Setting, settings: &[Setting]) -> Result<Option<String>, String> {
        let text = &*setting.value;
        let value = match self {
            Form::Same => text.to_owned(),
            Form::ByteSize => byte_size(text).ok_or("give bytes, or a size in KB, MB or GB, powers of 1024")?.to_string(),
            Form::InformationUnit => information_unit(text).ok_or("give bytes, or a size such as 512MB, 2GB or 2GiB")?.to_string(),
            Form::Share => format!("{:?}", real(text).filter(|&real| real <= 1.0).ok_or("give a share from 0 to 1, such as 0.6")?),
            Form::Multiple => format!("{:?}", real(text).ok_or("give a multiple of the memory, such as 1.5")?),
            Form::OrInfinity(most) => if text == "infinity" { most } else { text }.to_owned(),
            Form::Listener => listener(text)?,
            Form::Endpoint(_) if is_beside_port(setting, settings) => return Ok(None),
            Form::Endpoint(port) => endpoint(setting, settings, port)?,
            Form::If => return boolean(text).map(|truth| truth.then(String::new)),
            Form::Unless => return boolean(text).map(|truth| (!truth).then(String::new)),
            Form::Level => level(text)?.to_owned(),
            Form::Backend => return check_backend(text, settings).map(|()| None),
            Form::FromFiles if is_from_server(settings) => return Ok(None),
            Form::FromServer if !is_from_server(settings) => return Ok(None),
            Form::FromFiles | Form::FromServer => text.to_owned(),
            Form::NoVerify => return no_verify(text).map(|truth| truth.then(String::new)),
            Form::Names => boolean(text).map(|_| names_beside(setting, settings))?,
            Form::Mechanisms => mechanisms_beside(setting, settings)?,
            Form::Values => values_beside(setting, settings).into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(","),
            Form::NoNames if text == "none" => String::new(),
            Form::NoNames => return Err("give none, or set KEY.NAME to true".to_owned()),
        };
        Ok(Some(format!("={value}")))
    }
}

fn real(text: &str) -> Option<f64> {
    text.parse().ok().filter(|real: &f64| real.is_finite() && *real >= 0.0)
}

fn boolean(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "give true or false".to_owned())
}

/// Reads a listener. `5672` is that port of every address; otherwise the port follows the last
/// colon, also behind a bare IPv6 address.
fn listener(text: &str) -> Result<String, String> {
    if text == "none" {
        return Err("none would leave the broker without any listener: give a port, or remove the line".to_owned());
    }
    let wrong = || "give a port, or an IP address and a port, such as 5672, 127.0.0.1:5672 or ::1:5672".to_owned();
    if text.parse::<u16>().is_ok() {
        return Ok(format!("[::]:{text}"));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let address = format!("{host}:{port}");
    values::address(&address).map(|_| address).map_err(|_| wrong())
}

/// Reads the address and the port of a listener, which stand in two keys.
fn endpoint(setting: &Setting, settings: &[Setting], port: u16) -> Result<String, String> {
    let beside = values_beside(setting, settings);
    let value = |name| beside.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let port = value("port").map_or(Ok(port), |port| port.parse().map_err(|_| "give a port, from 0 to 65535".to_owned()))?;
    let ip = value("ip").unwrap_or("::").parse().map_err(|_| "give an IP address, such as 127.0.0.1 or ::1".to_owned())?;
    Ok(SocketAddr::new(ip, port).to_string())
}

/// Whether this is the address of a port that another key sets, and that stands for both.
fn is_beside_port(setting: &Setting, settings: &[Setting]) -> bool {
    let Some((last, above)) = setting.key.split_last() else { return false };
    last == "ip" && settings.iter().any(|other| other.key.split_last().is_some_and(|(name, others)| name == "port" && others == above))
}

/// The names that are set by keys beside this one, each by its last value.
fn names_beside(setting: &Setting, settings: &[Setting]) -> String {
    let set = values_beside(setting, settings).into_iter().filter(|(_, value)| *value == "true");
    set.map(|(name, _)| name).collect::<Vec<_>>().join(",")
}

/// The mechanisms that are set by keys beside this one and exist here. As in RabbitMQ, unknown ones
/// do not matter while there is a known one.
fn mechanisms_beside(setting: &Setting, settings: &[Setting]) -> Result<String, String> {
    let known = values_beside(setting, settings).into_iter().filter_map(|(_, value)| Mechanism::named(value));
    let names: Vec<&str> = known.map(Mechanism::name).collect();
    if names.is_empty() { Err("give PLAIN, AMQPLAIN or ANONYMOUS".to_owned()) } else { Ok(names.join(",")) }
}

/// The last names of the keys beside this one, each with its last value.
fn values_beside<'a>(setting: &Setting, settings: &'a [Setting]) -> Vec<(&'a str, &'a str)> {
    let (_, parents) = setting.key.split_last().expect("a key has a name");
    let mut values: Vec<(&str, &str)> = Vec::new();
    for other in settings {
        if let Some((name, others)) = other.key.split_last()
            && others == parents
        {
            values.retain(|(known, _)| known != name);
            values.push((name, &other.value));
        }
    }
    values
}

fn level(text: &str) -> Result<&'static str, String> {
    match text {
        "debug" => Ok("debug"),
        "info" | "notice" => Ok("info"),
        "warning" => Ok("warn"),
        "error" | "critical" | "alert" | "emergency" => Ok("error"),
        "none" => Ok("off"),
        _ => Err("give debug, info, notice, warning, error, critical, alert, emergency or none".to_owned()),
    }
}

fn no_verify(text: &str) -> Result<bool, String> {
    match text {
        "verify_peer" => Ok(false),
        "verify_none" => Ok(true),
        _ => Err("give verify_peer or verify_none".to_owned()),
    }
}

fn check_backend(text: &str, settings: &[Setting]) -> Result<(), String> {
    if SERVERS.contains(&text) {
        let has_url = settings.iter().any(|setting| is("definitions.https.url", &setting.key));
        return has_url.then_some(()).ok_or_else(|| "also give definitions.https.url".to_owned());
    }
    FILES.contains(&text).then_some(()).ok_or_else(|| {
        "give local_filesystem, with the path as definitions.local.path, or https, with the URL as definitions.https.url".to_owned()
    })
}

/// Whether the last setting of the source makes definitions come from a web server.
fn is_from_server(settings: &[Setting]) -> bool {
    let backend = settings.iter().rfind(|setting| is("definitions.import_backend", &setting.key));
    backend.is_some_and(|backend| SERVERS.contains(&&*backend.value))
}

/// RabbitMQ's names for the sources of definitions.
const FILES: [&str; 4] =
    ["local_filesystem", "local", "rabbitmq_definitions_import_local_filesystem", "rabbit_definitions_import_local_filesystem"];
const SERVERS: [&str; 4] = ["https", "http", "rabbitmq_definitions_import_http", "rabbit_definitions_import_https"];

/// Variables and the keys that they set.
const VARIABLES: [(&str, &str); 3] =
    [("RABBITMQ_DEFAULT_USER", "default_user"), ("RABBITMQ_DEFAULT_PASS", "default_pass"), ("RABBITMQ_DEFAULT_VHOST", "default_vhost")];

#[cfg(test)]
mod tests {
    use super::super::conf;
    use super::*;

    /// The flags of some lines, or the refusal.
    fn read(text: &str) -> Result<String, String> {
        let (given, _, warnings) = flags(&conf::settings(text)?)?;
        assert_eq!(warnings, Warnings::new());
        Ok(given.into_iter().map(|given| given.argument).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn address_and_port_of_the_management_api_make_one_listener() {
        assert_eq!(read("management.tcp.port = 15673").as_deref(), Ok("--management-listen=[::]:15673"));
        assert_eq!(read("management.tcp.ip = 127.0.0.1").as_deref(), Ok("--management-listen=127.0.0.1:15672"));
        assert_eq!(read("management.tcp.ip = ::1\nmanagement.tcp.port = 1").as_deref(), Ok("--management-listen=[::1]:1"));
        let origins = "management.cors.allow_origins.1 = http://a\nmanagement.cors.allow_origins.2 = *";
        assert!(read(origins).is_ok_and(|flags| flags.ends_with("--management-cors-origins=http://a,*")));
    }

    #[test]
    fn every_key_is_a_flag() {
        for (line, flag) in [
            ("listeners.tcp.default = 5672", "--listen=[::]:5672"),
            ("listeners.tcp.local = 127.0.0.1:5673", "--listen=127.0.0.1:5673"),
            ("listeners.tcp.six = ::1:5672", "--listen=[::1]:5672"),
            ("listeners.tcp.six = [::1]:5672", "--listen=[::1]:5672"),
            ("tcp_listen_options.backlog = 128", "--backlog=128"),
            ("tcp_listen_options.nodelay = false", "--no-tcp-nodelay"),
            ("tcp_listen_options.nodelay = true", ""),
            ("tcp_listen_options.send_timeout = 15000", "--send-timeout=15000"),
            ("handshake_timeout = 5000", "--handshake-timeout=5000"),
            ("heartbeat = 30", "--heartbeat=30"),
            ("frame_max = 128KB", "--frame-max=131072"),
            ("channel_max = 10", "--channel-max=10"),
            ("max_channels_per_connection = 10", "--channel-max=10"),
            ("connection_max = 10", "--max-connections=10"),
            ("max_connections = infinity", "--max-connections=10000000"),
            ("channel_max_per_node = 10", "--max-channels=10"),
            ("channel_max_per_node = infinity", "--max-channels=4294967295"),
            ("max_message_size = 1000", "--max-message-size=1000"),
            ("vm_memory_high_watermark.relative = 0.4", "--memory-high-watermark=0.4"),
            ("vm_memory_high_watermark.relative = 1", "--memory-high-watermark=1.0"),
            ("vm_memory_high_watermark.absolute = 2GiB", "--memory-high-watermark=2147483648"),
            ("disk_free_limit.relative = 2", "--disk-free-limit=2.0"),
            ("disk_free_limit.absolute = 500KB", "--disk-free-limit=500000"),
            ("prometheus.path = /m", "--metrics-path=/m"),
            ("prometheus.return_per_object_metrics = true", "--metrics-per-object"),
            ("log.console.level = critical", "--log=error"),
            ("product.name = A B", "--product=A B"),
            ("product.version = 1", "--product-version=1"),
            ("load_definitions = /a.json", "--definitions=/a.json"),
            ("management.load_definitions = /a.json", "--definitions=/a.json"),
            ("definitions.skip_if_unchanged = true", "--skip-unchanged-definitions"),
            ("definitions.skip_if_unchanged = false", ""),
            ("definitions.import_backend = local_filesystem\ndefinitions.local.path = /a", "--definitions=/a"),
            (
                "definitions.import_backend = https\ndefinitions.local.path = /a\ndefinitions.https.url = https://h/a",
                "--definitions=https://h/a",
            ),
            ("definitions.https.url = https://h/a\ndefinitions.local.path = /a", "--definitions=/a"),
            ("definitions.tls.cacertfile = /a.pem", "--definitions-ca=/a.pem"),
            ("definitions.tls.certfile = /a.pem\ndefinitions.tls.keyfile = /k", "--definitions-cert=/a.pem --definitions-key=/k"),
            ("definitions.tls.verify = verify_none", "--definitions-no-verify"),
            ("definitions.tls.verify = verify_peer", ""),
            ("default_user = ann\ndefault_pass = a#b\ndefault_pass = 'a#b'", "--default-user=ann --default-pass=a#b"),
            ("auth_mechanisms.1 = PLAIN", "--auth-mechanisms=PLAIN"),
            ("anonymous_login_user = none", "--anonymous-login-user=none"),
            ("anonymous_login_user = u\nanonymous_login_pass = p", "--anonymous-login-user=u --anonymous-login-pass=p"),
            ("consumer_timeout = 3600000", "--consumer-timeout=3600000"),
            ("loopback_users.guest = true\nloopback_users = none", "--loopback-users="),
            ("loopback_users.guest = false", "--loopback-users="),
            ("default_vhost = v", "--default-vhost=v"),
            ("default_permissions.configure = ^a", "--default-configure=^a"),
            ("default_permissions.write = .*", "--default-write=.*"),
            ("default_permissions.read = .*", "--default-read=.*"),
            ("default_user_tags.administrator = false", "--default-user-tags="),
            ("default_user_tags.a\\.b = true", "--default-user-tags=a.b"),
        ] {
            assert_eq!(read(line), Ok(flag.to_owned()));
        }
    }

    #[test]
    fn an_address_and_a_port_may_be_two_keys() {
        let listen = |text| read(text).map(|flags| flags.rsplit_once('=').map(|(_, address)| address.to_owned()));
        assert_eq!(listen("prometheus.tcp.port = 15693"), Ok(Some("[::]:15693".into())));
        assert_eq!(listen("prometheus.tcp.ip = 10.0.0.1"), Ok(Some("10.0.0.1:15692".into())));
        assert_eq!(listen("prometheus.tcp.ip = ::1\nprometheus.tcp.port = 1"), Ok(Some("[::1]:1".into())));
    }

    #[test]
    fn the_later_of_two_counts_and_an_absolute_limit_always() {
        assert_eq!(read("listeners.tcp.a = 1\nlisteners.tcp.b = 2\nlisteners.tcp.a = 3"), Ok("--listen=[::]:2 --listen=[::]:3".into()));
        let absolute = Ok("--disk-free-limit=5".to_owned());
        assert_eq!(read("disk_free_limit.absolute = 5\ndisk_free_limit.relative = 1.0"), absolute);
        assert_eq!(read("disk_free_limit.relative = 1.0\ndisk_free_limit.absolute = 5"), absolute);
        let tags = "default_user_tags.a = true\ndefault_user_tags.b = true\ndefault_user_tags.a = false\ndefault_user_tags.c = true";
        assert_eq!(read(tags).map(|flags| flags.rsplit_once('=').map(|(_, names)| names.to_owned())), Ok(Some("b,c".into())));
    }

    #[test]
    fn a_wrong_value_is_told_by_file_line_and_key() {
        for (line, sentence) in [
            (
                "\nlisteners.tcp = none\nlisteners.tcp.1 = 5672",
                "f:2: listeners.tcp: none would leave the broker without any listener: give a port, or remove the line",
            ),
            ("auth_mechanisms.1 = EXTERNAL", "f:1: auth_mechanisms.1: give PLAIN, AMQPLAIN or ANONYMOUS"),
            ("listeners.tcp.1 = localhost:5672", "f:1: listeners.tcp.1: give a port, or an IP address"),
            ("listeners.tcp.1 = unix:/run/r.sock:0", "f:1: listeners.tcp.1: give a port, or an IP address"),
            ("listeners.tcp.1 = 70000", "f:1: listeners.tcp.1: give a port, or an IP address"),
            ("tcp_listen_options.nodelay = on", "f:1: tcp_listen_options.nodelay: give true or false"),
            ("prometheus.tcp.port = x", "f:1: prometheus.tcp.port: give a port, from 0 to 65535"),
            ("prometheus.tcp.ip = localhost", "f:1: prometheus.tcp.ip: give an IP address, such as 127.0.0.1 or ::1"),
            ("frame_max = much", "f:1: frame_max: give bytes, or a size in KB, MB or GB"),
            ("vm_memory_high_watermark.relative = 1.5", "f:1: vm_memory_high_watermark.relative: give a share from 0 to 1"),
            ("vm_memory_high_watermark.absolute = 2 GB", "f:1: vm_memory_high_watermark.absolute: give bytes, or a size such as 512MB"),
            ("disk_free_limit.relative = -1", "f:1: disk_free_limit.relative: give a multiple of the memory"),
            ("loopback_users = guest", "f:1: loopback_users: give none, or set KEY.NAME to true"),
            ("default_user_tags.a = yes", "f:1: default_user_tags.a: give true or false"),
            ("log.console.level = loud", "f:1: log.console.level: give debug, info, notice"),
            ("definitions.import_backend = https", "f:1: definitions.import_backend: also give definitions.https.url"),
            ("definitions.import_backend = aws", "f:1: definitions.import_backend: give local_filesystem, with the path as"),
            ("definitions.tls.verify = true", "f:1: definitions.tls.verify: give verify_peer or verify_none"),
            ("product.name = encrypted:abc", "f:1: product.name is encrypted, and this broker has no key to decrypt it"),
        ] {
            let refusal = read(line).expect_err(line);
            assert!(refusal.starts_with(sentence), "{refusal}");
        }
    }

    #[test]
    fn mechanisms_of_plugins_are_told_and_left_out() {
        let text = "auth_mechanisms.1 = EXTERNAL\nauth_mechanisms.2 = PLAIN";
        let (given, _, warnings) = flags(&conf::settings(text).expect("settings")).expect("one is known");
        assert!(given.iter().all(|given| given.argument == "--auth-mechanisms=PLAIN") && !given.is_empty());
        assert_eq!(warnings, ["f:1: auth_mechanisms.1: this broker has no mechanism EXTERNAL"]);
    }

    #[test]
    fn what_is_unknown_is_told_and_left_out() {
        let text = "heartbeat = 1\n\nssl_options.password = encrypted:x\nlisteners.tcp.a.b = 1\nqueue_leader_locator = balanced";
        let (given, _, warnings) = flags(&conf::settings(text).expect("settings")).expect("nothing wrong");
        assert_eq!(given.len(), 1);
        let expected = ["f:3: ssl_options.password", "f:4: listeners.tcp.a.b", "f:5: queue_leader_locator"];
        assert_eq!(warnings, expected.map(|place| format!("{place} means nothing to this broker and is left out")));
    }
}
