#!/bin/sh
# Builds the small ELF files of this folder: the same structs in every form of DWARF that the
# compilers of kernels write. They are committed so that tests need no compiler.
# Made with gcc 12.2, binutils 2.40 and clang 14.0.6 (CLANG=path to it, left out if not set).
set -e
cd "$(dirname "$0")"
common="-O1 -fdebug-prefix-map=$PWD=. -fno-asynchronous-unwind-tables -fno-stack-protector"
link="-nostdlib -static -no-pie -Wl,--build-id=sha1 -Wl,-z,noseparate-code -Wl,-z,norelro"
sources="mm/slub.c kernel/other.c kernel/third.c"
build() {
  out=$1
  shift
  gcc $common $link "$@" -o "$out" $sources
}
build dwarf2 -gdwarf-2 -gstrict-dwarf
build dwarf3 -gdwarf-3 -gstrict-dwarf
build dwarf4 -gdwarf-4
build dwarf5 -gdwarf-5
build dwarf5-64 -gdwarf-5 -gdwarf64
build dwarf5-types -gdwarf-5 -fdebug-types-section
build dwarf5-lto -gdwarf-5 -flto
build dwarf5-zlib -gdwarf-5 -gz=zlib
build dwarf5-zlib-gnu -gdwarf-5 -gz=zlib-gnu
objcopy --compress-debug-sections=zstd dwarf5 dwarf5-zstd
objcopy --only-keep-debug dwarf5 split.debug
objcopy --strip-debug --add-gnu-debuglink=split.debug dwarf5 split
if [ -n "$CLANG" ]; then
  for version in 4 5; do
    for source in $sources; do
      $CLANG $common -gdwarf-$version -c "$source" -o "$source.o"
    done
    gcc $link -o clang$version mm/slub.c.o kernel/other.c.o kernel/third.c.o
    rm -f mm/slub.c.o kernel/other.c.o kernel/third.c.o
  done
fi
chmod -x dwarf[2-5]* clang[45] split
