#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "grader_sandbox/literal_parser.h"

namespace evilmoe {

// What crosses the pipes between the grader and a run. Requests are trusted, frames are not.

enum class RunKind : uint8_t {
  kGroundTruth = 1,   // setup, source, then every call; frames C L V...
  kTestFunction = 2,  // setup, source, then the response's own test function; frames C T L R
  kHost = 3,          // setup, a source, then somebody's test function on top; frames C L R
  kScript = 4,        // setup, source, then every call for what else it does than return; frames C [R]
  kExamine = 5,       // setup, then asserts with a proxy in the solution's place; frames X...; all trusted
};

// What a kScript run ends with.
enum class ScriptEnd : uint8_t {
  kExitStatus = 1,  // a failing assert: it exits as python3 would, without R
  kNothing = 2,     // R; what was printed and written counts
  kAttribute = 3,   // R says whether a Solution, or the class, has a true attribute of `markers`
  kEquality = 4,    // R says whether a value that is not plain was == encoded_other
};

struct RunRequest {
  RunKind kind = RunKind::kGroundTruth;
  std::string setup_code;                  // trusted
  std::string source;                      // untrusted, but for kHost of a solution of ours
  std::string name;                        // method to call, or test function
  std::vector<std::string> encoded_calls;  // kGroundTruth, kScript: EncodeCall()
  std::string test_source;                 // kHost: whole lines of the test function, indented as they stood
  bool test_is_method = false;             // kHost: attach it to Solution
  ScriptEnd script_end = ScriptEnd::kNothing;
  std::vector<std::string> markers;        // kAttribute: names
  std::string encoded_other;               // kEquality
  bool discard_stderr = false;             // what is printed is standard output alone
  struct Examined {
    std::string test;                         // one assert, as written
    std::vector<std::string> encoded_values;  // what its first calls returned
  };
  std::vector<Examined> examined;          // kExamine
  bool uses_files = false;                 // kScript: in a scratch folder; not sent, the zygote is told at the fork
  int64_t cpu_limit_s = 4;                 // the kernel's
  int64_t address_space_bytes = 1 << 30;
};
std::string EncodeRunRequest(const RunRequest& request);
absl::StatusOr<RunRequest> DecodeRunRequest(std::string_view bytes);

absl::StatusOr<std::string> EncodeCall(const Call& call);
absl::StatusOr<Call> DecodeCall(std::string_view bytes, std::string_view method);

enum class FrameType : uint8_t {
  kSetupFailed = 'S',  // text: type of the exception
  kCompiled = 'C',     // text: empty, or type of the exception. Written before untrusted code runs, as kTest is
  kTest = 'T',         // byte found, text class ("" = a function), text source lines
  kLoaded = 'L',       // text: empty, or type of the exception
  kValue = 'V',        // u32 index, value
  kRaised = 'E',       // u32 index, text: type of the exception
  kTooLarge = 'O',     // u32 index: the value is over the cap
  kReturned = 'R',     // text: empty, or type of the exception
  kExamined = 'X',     // u32 index, byte ExamineResult, then text type of the exception, or encoded call
};

// What became of one assert.
enum class ExamineResult : uint8_t {
  kHolds = 1,
  kFails = 2,     // raised AssertionError or what the comparison raised
  kCalls = 3,     // needs the value of one more call
  kRefused = 4,   // makes a call that cannot be sent: text says why
};

struct Frame {
  FrameType type;
  std::string_view payload;
};
// Layout: u32 length of what follows, type byte, payload.
std::string EncodeFrame(FrameType type, std::string_view payload);

// Cuts a stream of hostile bytes into frames.
class FrameReader {
 public:
  explicit FrameReader(size_t max_frame_bytes) : max_frame_bytes_(max_frame_bytes) {}
  void Feed(std::string_view bytes);
  // The next whole frame, valid until the next Feed(); nullopt when more bytes are needed. InvalidArgument: a length
  // of zero or over the cap, an unknown type.
  absl::StatusOr<std::optional<Frame>> Next();

 private:
  const size_t max_frame_bytes_;
  std::string buffer_;
  size_t at_ = 0;
};

}  // namespace evilmoe
