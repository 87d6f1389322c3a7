// The texts of a model's metadata and its ports: one table of what is refused, each by the rule of
// its own key, and of what is taken.
// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "capi_scan.h"
#include "check.h"
#include "tiny_model.h"

namespace {

using namespace capi;

struct Texts {
    const char* key;
    std::vector<const char*> bad;
    std::vector<const char*> good;
};

const Texts kTexts[] = {
    {"format", {"", "0", "3", "1 ", "01", "1.0"}, {"1", "2"}},
    {"patch_shape",
     {"",       "7 6",    "7 6 4 1", "7 6 4 ",           " 7 6 4", "7  6 4",     "7,6,4",
      "07 6 4", "7 6 04", "+7 6 4",  "-7 6 4",           "7 6 x",  "7.0 6 4",    "7e0 6 4",
      "0 6 4",  "7 6 0",  "7\t6 4",  "7 6 4\n",          "a b c",  "100000 1 1", "4096 4097 1",
      "1 1 4x", "00 6 4", "7 6 ",    "99999 99999 99999"},
     {"7 6 4"}},
    {"spacing_mm",
     {"",
      "0.5 0.5",
      "0.5 0.5 1 1",
      "0.5  0.5 1",
      "0.5 0.5 1 ",
      ".5 0.5 1",
      "0.5 0.5 1.",
      "0,5 0.5 1",
      "5e-1 0.5 1",
      "0x1 1 1",
      "nan 1 1",
      "inf 1 1",
      "-0.5 0.5 1",
      "+1 1 1",
      "00.5 1 1",
      "0 1 1",
      "0.009 1 1",
      "1 1 0.0",
      "100.0001 1 1",
      "101 1 1",
      "1000000 1 1",
      "1 1 1x",
      "1 1 1.5x",
      "1 1.2.3 1",
      "0.123456789012345678901 1 1"},
     {"0.5 0.5 1", "0.50 0.5 1.0", "0.01 100 1", "0.12345678901234567890 1 99.5"}},
    {"axes",
     {"", "AL", "ALIS", "ali", "ALA", "ALL", "ARL", "SIA", "A L I", "XLI", "AXI", "ALX", "ALI "},
     {"ALI", "RAS", "LPS", "SRP"}},
    {"normalize", {"", "Mean", "mean ", "none", "minmax", "divide 2"}, {"mean", "zscore"}},
    {"side", {"", "none", "LEFT", "left ", "both left"}, {"both", "left", "right"}},
    {"mirror", {"", "both", "Right", "none "}, {"none", "left", "right"}},
    {"selftest_sbr",
     {"",
      "0x00000000",
      "0x00000000 ",
      "0x00000000  0",
      " 0x00000000 0",
      "00000000 0",
      "0x0000000 0",
      "0x000000000 0",
      "0x0000000g 0",
      "1x00000000 0",
      "0y00000000 0",
      "0x00000000 1",
      "0x40133333 2.4",
      "0x00000000 +0",
      "0x00000000 --0",
      "0x00000000 .0",
      "0x00000000 0.",
      "0x00000000 0e",
      "0x00000000 0e+",
      "0x00000000 0e000",
      "0x00000000 0E0",
      "0x00000000 0x",
      "0x00000000 0.0x",
      "0x00000000 0e0x",
      "0x00000000 0 0",
      "0x7f800000 inf",
      "0x7f800000 1e39",
      "0x7f800000 3.4028235677973366e38",  // half way from the largest float32 to the next
      "0x7fc00000 nan",
      "0x00000000 000000000000000000000",
      "0x00000000 0.000000000000000000000",
      "0x00000000 1e-5"},
     {"0x00000000 0", "0x00000000 -0", "0x80000000 0", "0x00000000 0.00", "0x00000000 0e0",
      "0x00000000 0e-10", "0x00000000 0.0e+1", "0x00000001 1e-45", "0x3727c5ac 1e-5",
      "0x3727C5AC 0.00001", "0x00000000 00000000000000000000",
      "0x00000000 0.00000000000000000000"}},
};

tiny::Metadata with(const std::string& key, const std::string& text) {
    tiny::Metadata entries = tiny::metadata();
    for (auto& [name, value] : entries)
        if (name == key) value = text;
    return entries;
}

// Refused by the rule of that very key: what the network says would come later.
void test_metadata_texts() {
    for (const Texts& texts : kTexts) {
        const std::string key = texts.key;
        for (const std::string text : texts.bad) {
            expect_model(NIGRO_BAD_MODEL, tiny::model(1, with(key, text)), key + " '" + text + "'");
            const std::string why = nigro_last_error();
            that(why.find("expected nigroedge." + key + " to be") == 0, "'" + text + "': " + why);
        }
        for (const std::string text : texts.good)
            nigro_model_free(opened(tiny::model(1, with(key, text))));
    }
}

// 'file' with every 'old' replaced by 'now', of the same length: its messages keep their sizes.
std::string replaced(std::string file, const std::string& old, const std::string& now) {
    for (std::size_t at = file.find(old); at != std::string::npos; at = file.find(old, at + 1))
        file.replace(at, old.size(), now);
    return file;
}

void test_other_ports() {
    const std::string good = tiny::model();
    const std::string output = tiny::port("sbr", {1});
    const std::string files[] = {
        replaced(good, "\x05patch", "\x05image"),
        replaced(good, "\x03sbr", "\x03num"),
        replaced(good, output, replaced(output, "\x08\x01\x12", "\x08\x0b\x12")),  // float64
        replaced(good, output, tiny::port("sbr", {2})),
        // The Gemm takes as many features of such a patch.
        tiny::model(1, with("patch_shape", "6 7 4")),
    };
    for (const std::string& file : files) {
        expect_model(NIGRO_BAD_MODEL, file, "another port");
        const std::string why = nigro_last_error();
        that(why.find("expected the graph to have one ") == 0, why);
    }
}

}  // namespace

int main() {
    test_metadata_texts();
    test_other_ports();
    return check::report("test_model_spec");
}
