#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace evilmoe {

// The records of TensorBoard's event files (TensorFlow's TFRecord): the length of the data (8 bytes), its masked CRC
// (4), the data, their masked CRC (4), all little-endian. CRC is CRC32C (RFC 3720), masked as
// ((crc >> 15) | (crc << 17)) + 0xa282ead8.
std::string EventRecord(std::string_view data);

struct EventRecords {
  std::vector<std::string_view> data;  // views into the bytes
  size_t whole_bytes = 0;              // what is behind is no whole record: a writer that was killed left it
};

// The records from the beginning up to the first whose length or CRC is wrong.
EventRecords ReadEventRecords(std::string_view bytes);

}  // namespace evilmoe
