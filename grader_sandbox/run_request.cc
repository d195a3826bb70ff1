#include "grader_sandbox/run_request.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "grader_sandbox/value_codec.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxCallBytes = size_t{16} << 20;

absl::StatusOr<std::string> ReadString(ByteReader& reader) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string_view text, reader.Text());
  return std::string(text);
}

void AppendTexts(std::string& out, const std::vector<std::string>& texts) {
  AppendU32(out, static_cast<uint32_t>(texts.size()));
  for (const std::string& text : texts) AppendText(out, text);
}

absl::StatusOr<std::vector<std::string>> ReadTexts(ByteReader& reader) {
  EVILMOE_ASSIGN_OR_RETURN(const uint32_t count, reader.U32());
  std::vector<std::string> texts;
  for (uint32_t i = 0; i < count; ++i) {
    EVILMOE_ASSIGN_OR_RETURN(std::string text, ReadString(reader));
    texts.push_back(std::move(text));
  }
  return texts;
}

}  // namespace

std::string EncodeRunRequest(const RunRequest& request) {
  std::string out;
  out.push_back(static_cast<char>(request.kind));
  out.push_back(static_cast<char>(request.script_end));
  out.push_back(request.test_is_method ? 1 : 0);
  out.push_back(request.discard_stderr ? 1 : 0);
  AppendU64(out, static_cast<uint64_t>(request.cpu_limit_s));
  AppendU64(out, static_cast<uint64_t>(request.address_space_bytes));
  for (const std::string* text :
       {&request.setup_code, &request.source, &request.name, &request.test_source, &request.encoded_other}) {
    AppendText(out, *text);
  }
  AppendTexts(out, request.markers);
  AppendTexts(out, request.encoded_calls);
  AppendU32(out, static_cast<uint32_t>(request.examined.size()));
  for (const RunRequest::Examined& examined : request.examined) {
    AppendText(out, examined.test);
    AppendTexts(out, examined.encoded_values);
  }
  return out;
}

absl::StatusOr<RunRequest> DecodeRunRequest(std::string_view bytes) {
  ByteReader reader(bytes);
  RunRequest request;
  EVILMOE_ASSIGN_OR_RETURN(const uint8_t kind, reader.Byte());
  request.kind = static_cast<RunKind>(kind);
  EVILMOE_ASSIGN_OR_RETURN(const uint8_t script_end, reader.Byte());
  request.script_end = static_cast<ScriptEnd>(script_end);
  EVILMOE_ASSIGN_OR_RETURN(const uint8_t test_is_method, reader.Byte());
  request.test_is_method = test_is_method != 0;
  EVILMOE_ASSIGN_OR_RETURN(const uint8_t discard_stderr, reader.Byte());
  request.discard_stderr = discard_stderr != 0;
  EVILMOE_ASSIGN_OR_RETURN(const uint64_t cpu_limit_s, reader.U64());
  request.cpu_limit_s = static_cast<int64_t>(cpu_limit_s);
  EVILMOE_ASSIGN_OR_RETURN(const uint64_t address_space_bytes, reader.U64());
  request.address_space_bytes = static_cast<int64_t>(address_space_bytes);
  for (std::string* text :
       {&request.setup_code, &request.source, &request.name, &request.test_source, &request.encoded_other}) {
    EVILMOE_ASSIGN_OR_RETURN(*text, ReadString(reader));
  }
  EVILMOE_ASSIGN_OR_RETURN(request.markers, ReadTexts(reader));
  EVILMOE_ASSIGN_OR_RETURN(request.encoded_calls, ReadTexts(reader));
  EVILMOE_ASSIGN_OR_RETURN(const uint32_t num_examined, reader.U32());
  for (uint32_t i = 0; i < num_examined; ++i) {
    RunRequest::Examined examined;
    EVILMOE_ASSIGN_OR_RETURN(examined.test, ReadString(reader));
    EVILMOE_ASSIGN_OR_RETURN(examined.encoded_values, ReadTexts(reader));
    request.examined.push_back(std::move(examined));
  }
  EVILMOE_RETURN_IF_ERROR(reader.AtEnd());
  return request;
}

absl::StatusOr<std::string> EncodeCall(const Call& call) {
  std::string out;
  AppendU32(out, static_cast<uint32_t>(call.positional.size()));
  for (const Value& value : call.positional) EVILMOE_RETURN_IF_ERROR(EncodeValue(value, kMaxCallBytes, out));
  AppendU32(out, static_cast<uint32_t>(call.keywords.size()));
  for (const auto& [name, value] : call.keywords) {
    AppendText(out, name);
    EVILMOE_RETURN_IF_ERROR(EncodeValue(value, kMaxCallBytes, out));
  }
  out.push_back(call.returns ? static_cast<char>(*call.returns) : '\0');
  return out;
}

absl::StatusOr<Call> DecodeCall(std::string_view bytes, std::string_view method) {
  ByteReader reader(bytes);
  Call call{.method = std::string(method)};
  EVILMOE_ASSIGN_OR_RETURN(const uint32_t num_positional, reader.U32());
  for (uint32_t i = 0; i < num_positional; ++i) {
    EVILMOE_ASSIGN_OR_RETURN(Value value, DecodeValue(reader));
    call.positional.push_back(std::move(value));
  }
  EVILMOE_ASSIGN_OR_RETURN(const uint32_t num_keywords, reader.U32());
  for (uint32_t i = 0; i < num_keywords; ++i) {
    EVILMOE_ASSIGN_OR_RETURN(std::string name, ReadString(reader));
    EVILMOE_ASSIGN_OR_RETURN(Value value, DecodeValue(reader));
    call.keywords.emplace_back(std::move(name), std::move(value));
  }
  EVILMOE_ASSIGN_OR_RETURN(const uint8_t returns, reader.Byte());
  if (returns != 0) call.returns = static_cast<NodeShape>(returns);
  EVILMOE_RETURN_IF_ERROR(reader.AtEnd());
  return call;
}

std::string EncodeFrame(FrameType type, std::string_view payload) {
  std::string out;
  AppendU32(out, static_cast<uint32_t>(payload.size() + 1));
  out.push_back(static_cast<char>(type));
  out.append(payload);
  return out;
}

void FrameReader::Feed(std::string_view bytes) {
  buffer_.erase(0, at_);
  at_ = 0;
  buffer_.append(bytes);
}

absl::StatusOr<std::optional<Frame>> FrameReader::Next() {
  const std::string_view rest = std::string_view(buffer_).substr(at_);
  if (rest.size() < 4) return std::nullopt;
  ByteReader header(rest);
  EVILMOE_ASSIGN_OR_RETURN(const uint32_t length, header.U32());
  if (length == 0 || length > max_frame_bytes_) {
    return absl::InvalidArgumentError(absl::StrCat("frame: length ", length, ", expected [1, ", max_frame_bytes_, "]"));
  }
  if (rest.size() < 4 + size_t{length}) return std::nullopt;
  if (std::string_view("SCTLVEORX").find(rest[4]) == std::string_view::npos) {
    return absl::InvalidArgumentError("frame: unknown type");
  }
  at_ += 4 + size_t{length};
  return Frame{static_cast<FrameType>(rest[4]), rest.substr(5, length - 1)};
}

}  // namespace evilmoe
