//! A command line whose mistakes are one clear line each.

use std::{
    env,
    fmt::{self, Display},
    io::{self, Write as _},
    process,
};

use clap::{Arg, Parser, builder::Resettable, error::ErrorKind};

/// Parses the command line and the environment of the program.
///
/// A bad value ends the program with exit code 2 and one line on stderr that
/// names the flag, the variable (which is the flag's value name), the value and
/// what is allowed. A variable that is empty counts as unset: env files and service
/// links set such. `--help` and `--version` print and exit with 0.
///
/// ```no_run
/// use clap::Parser;
/// use actix_prefork::cli;
///
/// #[derive(Parser)]
/// struct Options {
///     /// Seconds that an order may take.
///     #[arg(long, env = "PATIENCE", value_name = "PATIENCE", default_value_t = 30,
///           value_parser = |text: &str| cli::whole_number(text, 1, 3600))]
///     patience: u16,
/// }
///
/// let options: Options = cli::parse();
/// if std::env::var("SHOP").is_err() {
///     cli::usage_error("SHOP is not set: name the shop");
/// }
/// # let _ = options.patience;
/// ```
pub fn parse<P: Parser>() -> P {
    let command = P::command().mut_args(without_empty_variable);
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

fn without_empty_variable(arg: Arg) -> Arg {
    let value = arg.get_env().map(env::var_os);
    match value {
        Some(Some(value)) if value.is_empty() => arg.env(Resettable::Reset),
        _ => arg,
    }
}

/// Ends the program with exit code 2 and `message` on one line of stderr.
///
/// For what `clap` cannot check, such as variables that another library reads.
pub fn usage_error(message: impl Display) -> ! {
    say(format_args!("error: {message}"));
    process::exit(2)
}

/// Writes a line to stderr. `eprintln` would panic where nobody reads it any more,
/// and end a server because its terminal is gone.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Parses a whole number from `first` to `last`, for an option of `clap`.
///
/// # Errors
///
/// Says which numbers are allowed where `text` is none of them.
///
/// ```
/// use actix_prefork::cli::whole_number;
///
/// assert_eq!(whole_number("80", 1, 1024), Ok(80));
/// let error = whole_number("0", 1, 1024).unwrap_err();
/// assert_eq!(error, "whole numbers from 1 to 1024 are allowed");
/// ```
pub fn whole_number(text: &str, first: u16, last: u16) -> Result<u16, String> {
    match text.parse() {
        Ok(number) if (first..=last).contains(&number) => Ok(number),
        _ => Err(format!("whole numbers from {first} to {last} are allowed")),
    }
}

/// Parses a share, a number from 0 to 1, for an option of `clap`.
///
/// # Errors
///
/// Says which numbers are allowed where `text` is none of them.
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
        _ => Err("numbers from 0 to 1 are allowed".to_owned()),
    }
}

/// The first paragraph of clap's text on one line: it holds the facts, the rest
/// is advice.
fn first_paragraph(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<_> = paragraph.split_whitespace().collect();
    words.join(" ")
}
