package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.networknt.schema.InputFormat;
import com.networknt.schema.SchemaRegistry;
import com.networknt.schema.SpecificationVersion;
import org.vmcheck.json.Schema;

/// Holds the answers of commands against their schema.
final class AnswerSchema {
  private AnswerSchema() {}

  /// @param definition by its name in the schema, which is the command's
  static void assertFits(String definition, String json) {
    String all = Schema.ANSWERS.text();
    String one = all.replaceFirst("\\{", "{\"\\$ref\": \"#/\\$defs/" + definition + "\",");
    assertThat(
            SchemaRegistry.withDefaultDialect(SpecificationVersion.DRAFT_2020_12)
                .getSchema(one)
                .validate(json, InputFormat.JSON))
        .isEmpty();
  }
}
