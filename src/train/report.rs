//! The report on a training, as a web page.
