#pragma once

namespace evilmoe {

// A zygote's one argument: what is imported beside the standard library. numpy makes every run dearer by a quarter, so
// a zygote of its own has it.
inline constexpr char kZygoteLean[] = "lean";
inline constexpr char kZygoteNumpy[] = "numpy";

// Messages on a zygote's socket (its descriptor 3), one text line each:
//   zygote: "ready", once
//   grader: "fork" with three descriptors: request (read), results (write), output (write)
//   zygote: "child PID" with a pidfd, or "failed WHY"; later "exit SIGNALED CODE CPU_US PEAK_RSS_BYTES
//           SYSCALL", the forbidden call or -1
// One child at a time. The end of the socket ends the zygote and its child.
inline constexpr char kZygoteReady[] = "ready";
inline constexpr char kZygoteFork[] = "fork";

}  // namespace evilmoe
