package org.vmcheck.kernel;

import java.util.function.Supplier;

/// A value made once, when first asked for, whichever thread asks.
final class Memo<T> {
  private Supplier<T> maker;
  private T value;

  Memo(Supplier<T> maker) {
    this.maker = maker;
  }

  synchronized T get() {
    if (maker != null) {
      value = maker.get();
      maker = null;
    }
    return value;
  }
}
