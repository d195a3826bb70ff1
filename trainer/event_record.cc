#include "trainer/event_record.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>

namespace evilmoe {
namespace {

constexpr size_t kLengthBytes = sizeof(uint64_t), kCrcBytes = sizeof(uint32_t);
// TensorBoard reads no larger one, and the library counts bytes in an int.
constexpr uint64_t kMaxDataBytes = std::numeric_limits<int32_t>::max();

template <typename T>
void AppendLittleEndian(T value, std::string& out) {
  for (size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

template <typename T>
T LittleEndian(std::string_view bytes) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value |= T{static_cast<unsigned char>(bytes[i])} << (8 * i);
  return value;
}

uint32_t MaskedCrc(std::string_view bytes) {
  const std::string copy(bytes);  // the library's argument is not const
  const uint32_t crc = ~crc32_iscsi(reinterpret_cast<unsigned char*>(const_cast<char*>(copy.data())),
                                    static_cast<int>(copy.size()), ~0u);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

// Takes the first record off `bytes`; nullopt leaves them alone.
std::optional<std::string_view> TakeRecord(std::string_view& bytes) {
  if (bytes.size() < kLengthBytes + kCrcBytes) return std::nullopt;
  const std::string_view length_bytes = bytes.substr(0, kLengthBytes);
  if (LittleEndian<uint32_t>(bytes.substr(kLengthBytes)) != MaskedCrc(length_bytes)) return std::nullopt;
  const auto length = LittleEndian<uint64_t>(length_bytes);
  const std::string_view rest = bytes.substr(kLengthBytes + kCrcBytes);
  if (length > kMaxDataBytes || rest.size() < length + kCrcBytes) return std::nullopt;
  const std::string_view data = rest.substr(0, length);
  if (LittleEndian<uint32_t>(rest.substr(length)) != MaskedCrc(data)) return std::nullopt;
  bytes = rest.substr(length + kCrcBytes);
  return data;
}

}  // namespace

std::string EventRecord(std::string_view data) {
  std::string record;
  AppendLittleEndian(uint64_t{data.size()}, record);
  AppendLittleEndian(MaskedCrc(record), record);
  record.append(data);
  AppendLittleEndian(MaskedCrc(data), record);
  return record;
}

EventRecords ReadEventRecords(std::string_view bytes) {
  EventRecords records;
  std::string_view rest = bytes;
  while (const std::optional<std::string_view> data = TakeRecord(rest)) records.data.push_back(*data);
  records.whole_bytes = bytes.size() - rest.size();
  return records;
}

}  // namespace evilmoe
