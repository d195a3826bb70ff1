# Every library that the project links, found once. docs/dependencies.md says what each is for.
# An imported target that only pkg-config knows is made with IMPORTED_TARGET and used as PkgConfig::<NAME>.

find_package(Threads REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(ZLIB REQUIRED)
find_package(GTest REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(PYTHON_EMBED REQUIRED IMPORTED_TARGET python3-embed)
include(GoogleTest)

if(EVILMOE_WITH_GRPC)
  find_package(Protobuf REQUIRED)
  find_package(gRPC CONFIG REQUIRED)
  find_package(prometheus-cpp CONFIG REQUIRED)
  find_package(civetweb CONFIG REQUIRED)
  find_package(CLI11 CONFIG REQUIRED)
  pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
else()
  find_package(CLI11 CONFIG)  # for a benchmark
endif()

if(EVILMOE_WITH_TORCH)
  pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
  include(LibTorch)
endif()
