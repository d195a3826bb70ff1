#pragma once

namespace evilmoe {

// "0.1.0".
const char* BuildVersion();
// Of the sources: the first 12 digits of the commit, with "+changes" where tracked files differ from it; "" where they
// were built out of no git checkout.
const char* BuildCommit();

}  // namespace evilmoe
