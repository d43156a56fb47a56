package org.vmcheck.finding;

/// Where a claim belongs, lowest first: the lowest layer that explains a finding is to blame.
public enum Layer {
  CONTAINER,
  TRANSLATION,
  DEBUGINFO,
  KERNEL
}
