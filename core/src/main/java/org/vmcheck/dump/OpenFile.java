package org.vmcheck.dump;

import org.vmcheck.io.ByteSource;
import org.vmcheck.io.MappedFile;

/// A mapped file with its logical bytes: the same, or those of the flattened stream in it.
record OpenFile(MappedFile map, ByteSource source, boolean flattened) {}
