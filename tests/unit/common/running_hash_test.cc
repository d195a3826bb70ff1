#include "common/running_hash.h"

#include <gtest/gtest.h>

#include <string>

#include "common/hash.h"

namespace evilmoe {
namespace {

TEST(RunningSha256, OfPartsIsThatOfTheWhole) {
  std::string bytes(1000, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7);
  for (const size_t part : {size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{999}, size_t{1000}, size_t{5000}}) {
    RunningSha256 hash;
    for (size_t at = 0; at < bytes.size(); at += part) hash.Add(std::string_view(bytes).substr(at, part));
    EXPECT_EQ(hash.Finish(), Sha256Hex(bytes)) << "parts of " << part;
  }
}

TEST(RunningSha256, OfNothingIsThatOfNoBytes) {
  RunningSha256 hash;
  hash.Add(std::span<const std::byte>());
  EXPECT_EQ(hash.Finish(), Sha256Hex(""));
}

}  // namespace
}  // namespace evilmoe
