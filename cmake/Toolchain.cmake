# Compiler cache, linker, warnings and sanitizers: everything that is about the tools and not about a target.

find_program(EVILMOE_CCACHE ccache)
if(EVILMOE_CCACHE)
  # base_dir and nohash_dir let a fresh clone on the same machine hit the cache of another.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros ${EVILMOE_CCACHE})
endif()

find_program(EVILMOE_MOLD mold)
if(EVILMOE_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

# Every program here has threads; a file without the flag would not fit a header that was precompiled with it.
add_compile_options(-pthread)
add_link_options(-pthread)

if(EVILMOE_SANITIZE)
  add_compile_options(-fsanitize=${EVILMOE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${EVILMOE_SANITIZE})
endif()

if(EVILMOE_FUZZ)  # coverage in every file; only the targets themselves link the fuzzer
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()

add_library(evilmoe_warnings INTERFACE)
add_library(evilmoe::warnings ALIAS evilmoe_warnings)
# GCC 12 reports a false -Wrestrict inside std::string under -O2.
# A designated initialiser says which fields it leaves at their defaults.
target_compile_options(evilmoe_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Werror -Wno-missing-field-initializers
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>)
