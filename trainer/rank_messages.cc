#include "trainer/rank_messages.h"

#include <bit>
#include <cstring>
#include <optional>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace evilmoe {
namespace {

static_assert(std::endian::native == std::endian::little, "values are copied as they lie in memory");

// The two archives have a Field() each for numbers, vectors of numbers and optional numbers; Visit() below lists the
// fields once for both directions.
class Writer {
 public:
  template <typename T>
  void Field(const std::optional<T>& value) {
    Field(value.has_value());
    if (value) Field(*value);
  }
  template <typename T>
  void Field(const T& value) {
    if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
      out_.append(reinterpret_cast<const char*>(&value), sizeof value);
    } else {
      Count(value.size());
      out_.append(reinterpret_cast<const char*>(value.data()), value.size() * sizeof(typename T::value_type));
    }
  }
  template <typename T>
  void Each(const std::vector<T>& items) {
    Count(items.size());
    for (const T& item : items) Visit(*this, item);
  }
  std::string Take() { return std::move(out_); }

 private:
  void Count(size_t count) { Field(static_cast<uint64_t>(count)); }
  std::string out_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  template <typename T>
  void Field(std::optional<T>& value) {
    bool is_set = false;
    Field(is_set);
    if (is_set) Field(value.emplace());
  }
  template <typename T>
  void Field(T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      uint8_t byte = 0;
      Field(byte);
      if (byte > 1) Fail(absl::StrCat("a truth value of ", byte, ", expected 0 or 1"));
      value = byte == 1;
    } else if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
      if (Has(1, sizeof value)) Copy(&value, sizeof value);
    } else {
      const uint64_t count = Count(sizeof(typename T::value_type));
      value.resize(count);
      if (count > 0) Copy(value.data(), count * sizeof(typename T::value_type));
    }
  }
  template <typename T>
  void Each(std::vector<T>& items) {
    const uint64_t count = Count(kLeastItemBytes);
    for (uint64_t i = 0; i < count && status_.ok(); ++i) Visit(*this, items.emplace_back());
  }
  void Fail(const std::string& what) {
    if (status_.ok()) status_ = absl::DataLossError(absl::StrCat("message between ranks: ", what));
    rest_ = {};
  }
  absl::Status Finish() {
    if (!rest_.empty()) Fail(absl::StrCat(rest_.size(), " bytes too many"));
    return status_;
  }

 private:
  // A group or a sample has at least two counts of its own.
  static constexpr size_t kLeastItemBytes = 8;

  bool Has(uint64_t count, size_t item_bytes) {
    if (count <= rest_.size() / item_bytes) return true;
    Fail(absl::StrCat("ends early: ", count, " values of at least ", item_bytes, " bytes announced, ", rest_.size(),
                      " bytes left"));
    return false;
  }
  uint64_t Count(size_t item_bytes) {
    uint64_t count = 0;
    Field(count);
    return Has(count, item_bytes) ? count : 0;
  }
  void Copy(void* to, size_t bytes) {
    std::memcpy(to, rest_.data(), bytes);
    rest_.remove_prefix(bytes);
  }

  std::string_view rest_;
  absl::Status status_;
};

// The structured bindings make a field that is new in train_samples.h a compile error here.
template <typename Archive, typename Sample>
requires std::is_same_v<std::remove_const_t<Sample>, TrainSample>
void Visit(Archive& archive, Sample& sample) {
  auto& [ids, sampler_logprobs, advantage, reward, oracle_hack, old_logprobs, masked, left_out, deploy_mode] = sample;
  archive.Field(ids);
  archive.Field(sampler_logprobs);
  archive.Field(advantage);
  archive.Field(reward);
  archive.Field(oracle_hack);
  archive.Field(old_logprobs);
  archive.Field(masked);
  archive.Field(left_out);
  archive.Field(deploy_mode);
}

template <typename Archive, typename Group>
requires std::is_same_v<std::remove_const_t<Group>, TrainGroup>
void Visit(Archive& archive, Group& group) {
  auto& [prompt_ids, samples, in_loss] = group;
  archive.Field(prompt_ids);
  archive.Each(samples);
  archive.Field(in_loss);
}

template <typename Archive, typename Message>
requires std::is_same_v<std::remove_const_t<Message>, RankMessage>
void Visit(Archive& archive, Message& message) {
  auto& [kind, run_yaml, step, groups, run_directory] = message;
  archive.Field(kind);
  archive.Field(run_yaml);
  archive.Field(step);
  archive.Each(groups);
  archive.Field(run_directory);
}

void CheckContents(const RankMessage& message, Reader& reader) {
  if (message.kind > RankMessageKind::kLeave) {
    reader.Fail(absl::StrCat("kind ", static_cast<int>(message.kind), ", expected one of RankMessageKind"));
  }
  if (message.step < 0) reader.Fail(absl::StrCat("step ", message.step, ", expected >= 0"));
  for (const TrainGroup& group : message.groups) {
    if (group.prompt_ids.empty()) reader.Fail("a prompt without tokens");
    for (const TrainSample& sample : group.samples) {
      // A masked one may have nothing: it was lost.
      if (sample.ids.empty() && !sample.masked) reader.Fail("a sample without tokens");
      if (sample.ids.size() != sample.sampler_logprobs.size()) {
        reader.Fail(absl::StrCat(sample.ids.size(), " tokens with ", sample.sampler_logprobs.size(),
                                 " log-probabilities, expected one each"));
      }
    }
  }
}

}  // namespace

std::string EncodeRankMessage(const RankMessage& message) {
  Writer writer;
  Visit(writer, message);
  return writer.Take();
}

absl::StatusOr<RankMessage> DecodeRankMessage(std::string_view bytes) {
  RankMessage message;
  Reader reader(bytes);
  Visit(reader, message);
  CheckContents(message, reader);
  const absl::Status status = reader.Finish();
  if (!status.ok()) return status;
  return message;
}

}  // namespace evilmoe
