package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.finding.Note;
import org.vmcheck.page.PageCensus;
import org.vmcheck.page.PageState;

/// The level that the header promises against the pages that are there, both ways; and silence
/// where they agree or where there are too few pages to tell.
class DumpLevelTest {
  private static final PageCensus.Count THERE = new PageCensus.Count(1000, 0, 0);
  private static final PageCensus.Count GONE = new PageCensus.Count(0, 1000, 0);
  private static final PageCensus.Count NONE = new PageCensus.Count(0, 0, 0);

  private static PageCensus census(
      PageCensus.Count cache, PageCensus.Count anonymous, PageCensus.Count free) {
    Map<PageState.Kind, PageCensus.Count> kinds = new EnumMap<>(PageState.Kind.class);
    kinds.put(PageState.Kind.PAGE_CACHE, cache);
    kinds.put(PageState.Kind.ANONYMOUS, anonymous);
    kinds.put(PageState.Kind.BUDDY, free);
    return new PageCensus(kinds, 3000, false, new TreeMap<>(), -1, List.of());
  }

  private static List<String> notes(int level, PageCensus census) {
    return DumpLevel.notes(level, census).stream().map(Note::text).toList();
  }

  @Test
  void whatWasPromisedAndDoneIsNoNews() {
    assertThat(notes(31, census(GONE, GONE, GONE))).isEmpty();
    assertThat(notes(0, census(THERE, THERE, THERE))).isEmpty();
    assertThat(notes(1, census(THERE, THERE, THERE))).isEmpty();
    assertThat(notes(16, census(THERE, THERE, GONE))).isEmpty();
  }

  @Test
  void aLevelAtWhichNothingWasLeftOutIsNamedWithWhatIsThere() {
    assertThat(notes(31, census(THERE, THERE, THERE)))
        .containsExactly(
            "the header says level 31, and nothing was left out: 1000 page cache pages, 1000"
                + " anonymous pages, 1000 free pages are all there; the dumper did not know this"
                + " kernel's page types, or did not filter");
  }

  @Test
  void aLevelOfWhichPartWasDoneSaysSo() {
    assertThat(notes(31, census(GONE, THERE, GONE)))
        .singleElement()
        .asString()
        .startsWith(
            "the header says level 31, and not all of that was left out: 1000 anonymous pages are"
                + " all there");
  }

  @ParameterizedTest
  @CsvSource({"0, true, true, true", "17, true, true, false", "15, false, false, true"})
  void whatNoLevelAskedForAndIsGoneIsNamed(
      int level, boolean isCache, boolean isAnonymous, boolean isFree) {
    assertThat(notes(level, census(GONE, GONE, GONE)))
        .singleElement()
        .asString()
        .startsWith("the header says level " + level + ", which does not ask for it")
        .matches(text -> text.contains("page cache") == isCache)
        .matches(text -> text.contains("anonymous") == isAnonymous)
        .matches(text -> text.contains("free pages") == isFree);
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 31})
  void aFewPagesAreNoSign(int level) {
    PageCensus.Count few =
        level == 0 ? new PageCensus.Count(0, 63, 0) : new PageCensus.Count(63, 0, 0);
    assertThat(notes(level, census(few, few, few))).isEmpty();
    assertThat(notes(level, census(NONE, NONE, NONE))).isEmpty();
  }

  /// Page cache that was written to, or that a driver holds, stays at level 31.
  @Test
  void onePageOfManyThatIsGoneIsASignThatTheKindIsKnown() {
    PageCensus.Count mostlyThere = new PageCensus.Count(900, 1, 0);
    assertThat(notes(31, census(mostlyThere, GONE, GONE))).isEmpty();
  }

  @Test
  void aFileThatNamesNoLevelPromisesNothing() {
    assertThat(notes(-1, census(GONE, GONE, GONE))).isEmpty();
    assertThat(notes(-1, census(THERE, THERE, THERE))).isEmpty();
  }
}
