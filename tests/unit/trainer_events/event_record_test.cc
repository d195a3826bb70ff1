#include "trainer/event_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(EventRecord, HasLengthDataAndTheirMaskedCrcs) {
  // CRC32C of "123456789" is 0xe3069283 (the check value of its definition), masked 0xc78ab0e5.
  const std::string record = EventRecord("123456789");
  ASSERT_EQ(record.size(), 8u + 4 + 9 + 4);
  EXPECT_EQ(record.substr(0, 8), std::string("\x09\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(record.substr(12, 9), "123456789");
  EXPECT_EQ(record.substr(21), "\xe5\xb0\x8a\xc7");
}

TEST(EventRecord, ReadsBackWhatWasWritten) {
  const std::string large(100'000, 'x');
  const std::string bytes = EventRecord("one") + EventRecord("") + EventRecord(large);
  const EventRecords records = ReadEventRecords(bytes);
  EXPECT_THAT(records.data, ElementsAre("one", "", large));
  EXPECT_EQ(records.whole_bytes, bytes.size());
}

// A writer can be killed behind any byte.
TEST(EventRecord, ReadsTheWholeRecordsBeforeATornOne) {
  const std::string whole = EventRecord("one"), torn = EventRecord("two");
  for (size_t kept = 0; kept < torn.size(); ++kept) {
    const EventRecords records = ReadEventRecords(whole + torn.substr(0, kept));
    EXPECT_EQ(records.data.size(), 1u) << kept;
    EXPECT_EQ(records.whole_bytes, whole.size()) << kept;
  }
}

TEST(EventRecord, AChangedBitEndsTheRecords) {
  const std::string record = EventRecord("data");
  for (size_t i = 0; i < record.size(); ++i) {
    std::string changed = record;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    EXPECT_THAT(ReadEventRecords(changed).data, IsEmpty()) << i;
  }
}

}  // namespace
}  // namespace evilmoe
