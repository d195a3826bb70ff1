// Runs a fuzz target over the files of its corpus, so that neither rots where there is no fuzzer.

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>

#include "common/file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace evilmoe {
namespace {

TEST(FuzzCorpus, Replays) {
  int num_files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(EVILMOE_FUZZ_CORPUS)) {
    SCOPED_TRACE(entry.path());
    const auto bytes = ReadFile(entry.path());
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    // The target ends the program where something is wrong.
    EXPECT_EQ(LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes->data()), bytes->size()), 0);
    ++num_files;
  }
  EXPECT_GE(num_files, 3);
}

}  // namespace
}  // namespace evilmoe
