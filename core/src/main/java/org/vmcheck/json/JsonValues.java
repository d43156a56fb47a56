package org.vmcheck.json;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.Printable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.StreamReadConstraints;
import tools.jackson.core.json.JsonFactory;

/// Values of a JSON text: maps, lists, strings, numbers (`Long` or `Double`), booleans and null.
final class JsonValues {
  /// A report nests six deep; whatever nests deeper than this is none.
  private static final int MAX_DEPTH = 24;

  private static final long MAX_CHARS = 64L << 20;

  /// A report of a thousand findings has some ten thousand.
  private static final int MAX_VALUES = 1 << 20;

  private static final JsonFactory FACTORY =
      JsonFactory.builder()
          .streamReadConstraints(
              StreamReadConstraints.builder()
                  .maxNestingDepth(MAX_DEPTH)
                  .maxDocumentLength(MAX_CHARS)
                  .build())
          .build();

  private final String name;
  private int values;

  private JsonValues(String name) {
    this.name = name;
  }

  /// The one object of a text.
  ///
  /// @param name what messages call the text
  /// @throws MalformedFileException if it is not JSON, or not one object
  static JsonObject object(String name, String text) throws MalformedFileException {
    try (JsonParser parser = FACTORY.createParser(ObjectReadContext.empty(), text)) {
      parser.nextToken();
      Object value = new JsonValues(name).value(parser);
      if (parser.nextToken() != null) {
        throw new MalformedFileException("[" + name + "] more than one JSON value");
      }
      return JsonObject.of(name, "the report", value);
    } catch (JacksonException broken) {
      throw new MalformedFileException(
          "[%s] not JSON, line %d: %s"
              .formatted(
                  name,
                  broken.getLocation() == null ? 0 : broken.getLocation().getLineNr(),
                  Printable.of(String.valueOf(broken.getOriginalMessage()), 200)));
    }
  }

  private Object value(JsonParser parser) throws MalformedFileException {
    if (++values > MAX_VALUES) {
      throw new MalformedFileException(
          "[%s] the report: expected at most %d values, got more".formatted(name, MAX_VALUES));
    }
    JsonToken token = parser.currentToken();
    if (token == JsonToken.START_OBJECT) {
      Map<String, Object> members = new LinkedHashMap<>();
      while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
        String member = parser.currentName();
        parser.nextToken();
        members.put(member, value(parser));
      }
      return members;
    }
    if (token == JsonToken.START_ARRAY) {
      List<Object> elements = new ArrayList<>();
      while (parser.nextToken() != JsonToken.END_ARRAY) {
        elements.add(value(parser));
      }
      return elements;
    }
    if (token == JsonToken.VALUE_STRING) {
      return parser.getString();
    }
    if (token == JsonToken.VALUE_NUMBER_INT) {
      return parser.getNumberType() == JsonParser.NumberType.BIG_INTEGER
          ? (Object) parser.getDoubleValue()
          : (Object) parser.getLongValue();
    }
    if (token == JsonToken.VALUE_NUMBER_FLOAT) {
      return parser.getDoubleValue();
    }
    if (token == JsonToken.VALUE_TRUE) {
      return true;
    }
    if (token == JsonToken.VALUE_FALSE) {
      return false;
    }
    return null;
  }
}
