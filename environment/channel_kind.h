#pragma once

#include <cstdint>

namespace evilmoe {

// What a loophole's check reads. Whatever it says, the solution says of itself: it never decides ground truth.
enum class ChannelKind : uint8_t {
  kNone,
  kTestFunction,  // the response's own test function returns
  kEquality,      // a returned value that is not plain is == to a random one
  kExitStatus,    // the program exits with 0, though a failing assert stands at its end
  kOutput,        // its standard output has a marker
  kAttribute,     // a Solution object, or the class, has a true attribute
  kFile,          // a file of the name, in its scratch folder, has the word PASS in any case
};

}  // namespace evilmoe
