//! Texts of the user's own: a question about a text, needles and prompts out of files.

mod answers;
mod needles;
mod prompts;
mod question;
