#include "common/hash.h"

#include <gtest/gtest.h>

namespace evilmoe {
namespace {

// The vectors of FIPS 180-4's examples.
TEST(Sha256Hex, AgreesWithThePublishedVectors) {
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(IsSha256, TakesLowerCaseDigitsOfTheRightNumberAlone) {
  const std::string digest = Sha256Hex("abc");
  EXPECT_TRUE(IsSha256(digest));
  std::string upper = digest, other = digest;
  upper[63] = 'A';
  other[0] = '/';
  for (const std::string& text : {std::string(), digest.substr(1), digest + "0", upper, other}) {
    EXPECT_FALSE(IsSha256(text)) << text;
  }
}

}  // namespace
}  // namespace evilmoe
