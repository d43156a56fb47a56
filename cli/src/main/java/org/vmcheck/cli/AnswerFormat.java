package org.vmcheck.cli;

/// Forms of an answer.
enum AnswerFormat {
  TEXT,
  JSON
}
