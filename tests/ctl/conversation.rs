//! The files of conversations.
//!
//! ```text
//! $ rabbitmqctl delete_vhost 'my vhost'        the command
//! ~ secret                                     a line on stdin
//! > DELETE /api/vhosts/my%20vhost              a request, with its body after a blank
//! < 404 {"error":"Object Not Found"}           the answer
//! + …                                          another line of the answer
//! | Deleting vhost "my vhost" ...              a line on stdout
//! ! Virtual host 'my vhost' does not exist     a line on stderr
//! = 65                                         the exit code
//! ```

/// A conversation.
#[derive(Default, Debug)]
pub struct Conversation {
    /// The words of the command.
    pub words: Vec<String>,
    /// What is typed.
    pub stdin: String,
    /// The requests, in order, with their answers.
    pub exchanges: Vec<Exchange>,
    /// What is printed.
    pub stdout: String,
    /// What is printed about failures.
    pub stderr: String,
    /// The exit code.
    pub code: i32,
}

/// A request and its answer.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Exchange {
    /// The method, the path and the body.
    pub request: String,
    /// The status.
    pub status: u16,
    /// The body of the answer.
    pub body: String,
}

/// Parses a file.
pub fn parse(text: &str) -> Vec<Conversation> {
    let mut conversations: Vec<Conversation> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        if mark == "$" {
            conversations.push(Conversation { words: words(rest), ..Conversation::default() });
            continue;
        }
        let conversation = conversations.last_mut().expect("a file begins with a command");
        match mark {
            "~" => conversation.stdin += &format!("{rest}\n"),
            ">" => conversation.exchanges.push(Exchange { request: rest.to_owned(), ..Exchange::default() }),
            "<" => conversation.answer(rest),
            "+" => conversation.answer_on(rest),
            "|" => conversation.stdout += &format!("{rest}\n"),
            "!" => conversation.stderr += &format!("{rest}\n"),
            "=" => conversation.code = rest.parse().expect("an exit code"),
            _ => panic!("{line} has no mark"),
        }
    }
    conversations
}

impl Conversation {
    fn answer(&mut self, text: &str) {
        let (status, body) = text.split_once(' ').unwrap_or((text, ""));
        let exchange = self.exchanges.last_mut().expect("an answer follows a request");
        exchange.status = status.parse().expect("a status");
        exchange.body = body.to_owned();
    }

    fn answer_on(&mut self, text: &str) {
        let exchange = self.exchanges.last_mut().expect("an answer follows a request");
        exchange.body += &format!("\n{text}");
    }
}

/// Splits a command into words, which may stand in quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut is_quoted) = (None, false);
    for letter in line.chars() {
        match letter {
            '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_with(String::new);
            }
            ' ' if !is_quoted => words.extend(word.take()),
            _ => word.get_or_insert_with(String::new).push(letter),
        }
    }
    words.extend(word);
    words
}

#[test]
fn words_may_be_quoted_and_empty() {
    assert_eq!(words("a 'b c'  '' d'e'"), ["a", "b c", "", "de"]);
}
