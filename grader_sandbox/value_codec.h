#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grader_sandbox/value.h"

namespace evilmoe {

// A binary form of values for the pipes between the grader and a run. Every value starts with a tag byte; numbers
// are little-endian, int magnitudes big-endian.

// Reads fields off the front of bytes that may be hostile. Every method gives InvalidArgument, never a crash and
// never an allocation larger than the bytes that are there.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}
  absl::StatusOr<uint8_t> Byte();
  absl::StatusOr<uint32_t> U32();
  absl::StatusOr<uint64_t> U64();
  absl::StatusOr<std::string_view> Take(size_t num_bytes);
  absl::StatusOr<std::string_view> Text();  // a u32 length, then the bytes
  size_t size() const { return rest_.size(); }
  // InvalidArgument when something is left.
  absl::Status AtEnd() const;

 private:
  std::string_view rest_;
};

void AppendU32(std::string& out, uint32_t number);
void AppendU64(std::string& out, uint64_t number);
void AppendText(std::string& out, std::string_view text);

// Appends `value`. InvalidArgument: nested too deep. ResourceExhausted: `out` would grow over `max_bytes`.
absl::Status EncodeValue(const Value& value, size_t max_bytes, std::string& out);

// One value off the front. InvalidArgument: unknown tag, a count or length past the end, too deep, an int that is
// not in its shortest form, an unhashable or repeated key.
absl::StatusOr<Value> DecodeValue(ByteReader& reader);

}  // namespace evilmoe
