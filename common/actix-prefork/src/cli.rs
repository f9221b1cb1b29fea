//! Command line parsing that reports an invalid setting in one line.

use std::{
    env,
    ffi::OsStr,
    fmt::{self, Display},
    io::{self, Write as _},
    process,
};

use clap::{Arg, Command, Parser, builder::Resettable, error::ErrorKind};

/// Parses the command line and the environment of the program.
///
/// An invalid value prints one line to stderr and exits with code 2. The line names
/// the flag, its variable, the value and the expected values. An empty variable counts as
/// unset. `--help` and `--version` print and exit with code 0; the values of variables,
/// which may be secrets, are not in the help.
///
/// ```no_run
/// use clap::Parser;
/// use actix_prefork::cli;
///
/// #[derive(Parser)]
/// struct Options {
///     /// Connections to the database.
///     #[arg(long, env = "POOL_SIZE", default_value_t = 4,
///           value_parser = |text: &str| cli::whole_number(text, 1, 100))]
///     pool_size: u16,
/// }
///
/// let options: Options = cli::parse();
/// if std::env::var("DATABASE_URL").is_err() {
///     cli::usage_error("DATABASE_URL is unset, expected a URL like sqlite://todo.db");
/// }
/// # let _ = options.pool_size;
/// ```
pub fn parse<P: Parser>() -> P {
    parse_with(|command| command)
}

/// As [`parse`], after `adapt` has changed what the program accepts, for example the
/// default of a flag or the names of all variables.
///
/// ```no_run
/// use actix_prefork::{Options, cli};
/// use clap::Parser;
///
/// #[derive(Parser)]
/// struct Cli {
///     #[command(flatten)]
///     workers: Options,
/// }
///
/// // Listens on port 8080 unless `--port` or `SHOP_PORT` says otherwise.
/// let cli: Cli = cli::parse_with(|command| {
///     cli::prefix_variables(command, "SHOP_").mut_arg("port", |port| port.default_value("8080"))
/// });
/// # let _ = cli.workers;
/// ```
pub fn parse_with<P: Parser>(adapt: impl FnOnce(Command) -> Command) -> P {
    let command = adapt(P::command()).mut_args(with_its_variable);
    let matches = command.try_get_matches();
    let parsed = matches.and_then(|mut matches| P::from_arg_matches_mut(&mut matches));
    parsed.unwrap_or_else(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
        _ => {
            let text = error.render().to_string();
            usage_error(first_paragraph(text.trim_start_matches("error: ")))
        }
    })
}

/// Puts a prefix before the name of each variable.
pub fn prefix_variables(command: Command, prefix: &str) -> Command {
    command.mut_args(|arg| {
        let Some(variable) = arg.get_env().map(|name| name.to_string_lossy()) else {
            return arg;
        };
        // Names live as long as the command, which is made once.
        let name: &'static str = format!("{prefix}{variable}").leak();
        arg.env(name)
    })
}

/// The options of a program that is started without flags and variables.
pub(crate) fn defaults<A: clap::Args>() -> A {
    let command = A::augment_args(Command::new("")).mut_args(|arg| arg.env(Resettable::Reset));
    let mut matches = command.get_matches_from([""]);
    A::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.exit())
}

/// Calls the value of a flag by its variable, for help and errors, and takes an empty
/// variable for none.
fn with_its_variable(arg: Arg) -> Arg {
    let Some(name) = arg.get_env().map(OsStr::to_os_string) else {
        return arg;
    };
    let is_empty = env::var_os(&name).is_some_and(|value| value.is_empty());
    let takes_value = arg.get_action().takes_values();
    let arg = match is_empty {
        true => arg.env(Resettable::Reset),
        false => arg.hide_env_values(true),
    };
    match takes_value {
        // As long as the command, which is made once.
        true => arg.value_name(&*name.to_string_lossy().into_owned().leak()),
        false => arg,
    }
}

/// Prints `error: message` on one line of stderr and exits with code 2.
///
/// Use it for what `clap` cannot check, such as a combination of options.
pub fn usage_error(message: impl Display) -> ! {
    say(format_args!("error: {message}"));
    process::exit(2)
}

/// Writes a line to stderr. `eprintln` would panic where nobody reads it any more,
/// and end a server because its terminal is gone.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Parses a whole number from `first` to `last`; a value parser for `clap`.
///
/// # Errors
///
/// Names the expected numbers if `text` is not one of them.
///
/// ```
/// use actix_prefork::cli::whole_number;
///
/// assert_eq!(whole_number("80", 1, 1024), Ok(80));
/// let error = whole_number("0", 1, 1024).unwrap_err();
/// assert_eq!(error, "expected a whole number from 1 to 1024");
/// ```
pub fn whole_number(text: &str, first: u16, last: u16) -> Result<u16, String> {
    match text.parse() {
        Ok(number) if (first..=last).contains(&number) => Ok(number),
        _ => Err(format!("expected a whole number from {first} to {last}")),
    }
}

/// Parses a fraction, a number from 0 to 1; a value parser for `clap`.
///
/// # Errors
///
/// Names the expected numbers if `text` is not one of them.
///
/// ```
/// use actix_prefork::cli::share;
///
/// assert_eq!(share("0.5"), Ok(0.5));
/// assert!(share("50%").is_err());
/// ```
pub fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

/// The first paragraph of clap's text on one line: it holds the facts, the rest
/// is advice.
fn first_paragraph(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<_> = paragraph.split_whitespace().collect();
    words.join(" ")
}
