package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.networknt.schema.InputFormat;
import com.networknt.schema.SchemaRegistry;
import com.networknt.schema.SpecificationVersion;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import org.vmcheck.json.DeskWriter;

/// Holds the answers of commands against their schema.
final class AnswerSchema {
  private AnswerSchema() {}

  /// @param definition by its name in the schema, which is the command's
  static void assertFits(String definition, String json) throws IOException {
    try (InputStream in = DeskWriter.class.getResourceAsStream("answers.schema.json")) {
      String all = new String(in.readAllBytes(), StandardCharsets.UTF_8);
      String one = all.replaceFirst("\\{", "{\"\\$ref\": \"#/\\$defs/" + definition + "\",");
      assertThat(
              SchemaRegistry.withDefaultDialect(SpecificationVersion.DRAFT_2020_12)
                  .getSchema(one)
                  .validate(json, InputFormat.JSON))
          .isEmpty();
    }
  }
}
