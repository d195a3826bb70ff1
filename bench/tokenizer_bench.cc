// Speed of the tokenizer on one thread: encode and decode of every text of a file, call by call.
//
//   tokenizer_bench [--tokenizer FOLDER] [--texts FILE]... [--seconds S]
//
// A line of FILE is a JSON string, or is itself the text. Each pass goes over all texts; the fastest pass within S
// seconds counts. One JSON object a file and operation comes out:
//   {"texts": FILE, "operation": "encode"|"decode", "bytes", "tokens", "hash", "seconds"}
// `hash` is a checksum of the ids (FNV-1a over their four bytes), so that a peer can be held to the same ones.
// bench/run_tokenizer runs this beside Hugging Face tokenizers.

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "policy/tokenizer.h"

namespace evilmoe {
namespace {

struct Options {
  std::string tokenizer = EVILMOE_SOURCE_DIR "/examples/nano/model";
  std::vector<std::string> texts;
  double seconds = 1.0;
};

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& arguments) {
  Options options;
  for (size_t i = 0; i + 1 < arguments.size(); i += 2) {
    const std::string& value = arguments[i + 1];
    if (arguments[i] == "--tokenizer") {
      options.tokenizer = value;
    } else if (arguments[i] == "--texts") {
      options.texts.push_back(value);
    } else if (arguments[i] != "--seconds" || !absl::SimpleAtod(value, &options.seconds)) {
      return absl::InvalidArgumentError(absl::StrCat(arguments[i], " ", value, ": not understood"));
    }
  }
  if (arguments.size() % 2 != 0) return absl::InvalidArgumentError("expected pairs of --option value");
  if (options.texts.empty()) options.texts.push_back(EVILMOE_SOURCE_DIR "/examples/nano/train.jsonl");
  return options;
}

std::vector<std::string> TextsOf(std::string_view file) {
  std::vector<std::string> texts;
  for (size_t begin = 0; begin < file.size();) {
    const size_t end = std::min(file.find('\n', begin), file.size());
    const std::string_view line = file.substr(begin, end - begin);
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    texts.push_back(json.is_string() ? json.get<std::string>() : std::string(line));
    begin = end + 1;
  }
  return texts;
}

// Seconds of the fastest call of `pass` within the time given; at least one call is made.
template <typename F>
double Fastest(double seconds, F&& pass) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  double fastest = std::numeric_limits<double>::infinity();
  const auto start = Clock::now();
  do {
    const auto pass_start = Clock::now();
    pass();
    fastest = std::min(fastest, since(pass_start));
  } while (since(start) < seconds);
  return fastest;
}

absl::Status Measure(const Tokenizer& tokenizer, const std::string& file, double seconds) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string content, ReadFile(file));
  const std::vector<std::string> texts = TextsOf(content);
  size_t bytes = 0;
  for (const std::string& text : texts) bytes += text.size();
  std::vector<std::vector<int32_t>> ids(texts.size());
  absl::Status status;
  const double encode_seconds = Fastest(seconds, [&] {
    for (size_t i = 0; i < texts.size() && status.ok(); ++i) {
      auto encoded = tokenizer.Encode(texts[i]);
      status = encoded.status();
      if (encoded.ok()) ids[i] = *std::move(encoded);
    }
  });
  EVILMOE_RETURN_IF_ERROR(status);
  size_t num_tokens = 0;
  uint32_t hash = 2166136261u;
  for (const std::vector<int32_t>& each : ids) {
    num_tokens += each.size();
    for (const int32_t id : each) {
      for (int shift = 0; shift < 32; shift += 8)
        hash = (hash ^ ((static_cast<uint32_t>(id) >> shift) & 0xFF)) * 16777619u;
    }
  }
  size_t decoded_bytes = 0;
  const double decode_seconds = Fastest(seconds, [&] {
    decoded_bytes = 0;
    for (const std::vector<int32_t>& each : ids) decoded_bytes += tokenizer.Decode(each).size();
  });
  const auto print = [&](const char* operation, size_t operation_bytes, double operation_seconds) {
    const nlohmann::ordered_json line = {
        {"texts", file},        {"operation", operation}, {"bytes", operation_bytes},
        {"tokens", num_tokens}, {"hash", hash},           {"seconds", operation_seconds}};
    std::cout << line.dump() << std::endl;
  };
  print("encode", bytes, encode_seconds);
  print("decode", decoded_bytes, decode_seconds);
  return absl::OkStatus();
}

absl::Status Run(const std::vector<std::string>& arguments) {
  EVILMOE_ASSIGN_OR_RETURN(const Options options, ParseOptions(arguments));
  EVILMOE_ASSIGN_OR_RETURN(const Tokenizer tokenizer, Tokenizer::Load(options.tokenizer));
  for (const std::string& file : options.texts) {
    EVILMOE_RETURN_IF_ERROR(Measure(tokenizer, file, options.seconds));
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace evilmoe

int main(int argc, char** argv) {
  const absl::Status status = evilmoe::Run({argv + 1, argv + argc});
  if (!status.ok()) std::cerr << "tokenizer_bench: " << status.message() << "\n";
  return status.ok() ? 0 : 2;
}
