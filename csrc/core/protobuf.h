// Walk the protobuf wire format, strictly.
//
// A message is a run of fields, each a key (field number and wire type) and a value of one of four
// encodings. A table says which fields a message may have; Message walks over them and refuses
// everything else: unknown fields, wrong wire types, a singular field given twice, varints that are
// truncated or longer than needed, lengths that leave the buffer. A general parser must accept all
// of those but the last; a model file has no reason to hold any, and two readers that disagree on
// such a file are how a checked model becomes another one.
// Source: protobuf.dev/programming-guides/encoding.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nigro::protobuf {

// Bytes of the caller's buffer.
struct Span {
    const unsigned char* begin = nullptr;
    const unsigned char* end = nullptr;

    std::size_t size() const noexcept { return static_cast<std::size_t>(end - begin); }
};

// Where the parser is, for messages: "graph.node[3].attribute[1]". Frames lie on the parser's
// stack.
struct Place {
    static constexpr std::size_t kSingle = static_cast<std::size_t>(-1);

    const Place* outer;          // nullptr for the file
    const char* name;            // of the field that holds this message
    std::size_t index;           // which of a repeated field, or kSingle
    const unsigned char* begin;  // of the file, for the offset

    // The place of the message in field 'field_name' of this one. This one must outlive it.
    Place inside(const char* field_name, std::size_t field_index = kSingle) const noexcept {
        return {this, field_name, field_index, begin};
    }
};

// Throw ModelError: place, the offset of 'at' in the file (left out if 'at' is nullptr), 'text'.
[[noreturn]] void refuse(const Place& place, const unsigned char* at, const std::string& text);

// 'text' in quotes for a message: at most 64 bytes, with anything but printable ASCII escaped, so
// that a hostile name can neither flood nor control a terminal.
std::string quoted(std::string_view text);

enum class Wire : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

enum class Use : std::uint8_t {
    kOne,      // at most once
    kMany,     // any number of times
    kNumbers,  // repeated numbers: any number of times, packed or not
    kSkipped,  // any number of times; nothing depends on what it holds
    kRefused,  // legal ONNX, but not in a model of this project
};

// A field that a message may have. 'name' is what messages call it.
struct Rule {
    std::uint32_t number;
    Wire wire;
    Use use;
    const char* name;
};

// A field of a message. 'bytes' is the value as it lies in the file, without its length; 'value' is
// that of a varint.
struct Field {
    const Rule* rule = nullptr;
    Wire wire = Wire::kVarint;
    std::uint64_t value = 0;
    Span bytes;

    std::uint32_t number() const noexcept { return rule->number; }
};

// Read the varint at 'at', which moves behind it. Throws ModelError if it is truncated, does not
// fit in 64 bits, or is longer than its value needs.
std::uint64_t read_varint(const unsigned char*& at, const unsigned char* end, const Place& place);

// A cursor over the fields of one message.
class Message {
public:
    template <std::size_t N>
    Message(Span bytes, const Rule (&rules)[N], const Place& place)
        : at_(bytes.begin), end_(bytes.end), rules_(rules), n_rules_(N), place_(place) {
        static_assert(N <= 32, "one bit of seen_ for each rule");
    }

    // Give the next field that is not skipped; false at the end. Throws ModelError.
    bool next(Field& field);

private:
    bool read_field(Field& field);
    const Rule& find_rule(std::uint64_t key, const unsigned char* key_begin) const;
    void read_value(Field& field);

    const unsigned char* at_;
    const unsigned char* end_;
    const Rule* rules_;
    std::size_t n_rules_;
    const Place& place_;
    std::uint32_t seen_ = 0;  // a bit for each singular rule that has come
};

// The integer of a field of type int32, int64, uint64 or an enum.
inline std::int64_t as_int(const Field& field) noexcept {
    return static_cast<std::int64_t>(field.value);
}

// The text of a field of type string. Throws ModelError if it is longer than 'max_bytes' or not
// UTF-8.
std::string_view as_text(const Field& field, std::size_t max_bytes, const Place& place);

// Call take(std::int64_t) for each number of a repeated varint field, packed or not.
template <class Take>
void for_each_int(const Field& field, const Place& place, Take take) {
    for (const unsigned char* at = field.bytes.begin; at != field.bytes.end;)
        take(static_cast<std::int64_t>(read_varint(at, field.bytes.end, place)));
}

// Throw ModelError unless 'field' holds a whole number of items of 'item_bytes' bytes.
void check_whole_items(const Field& field, std::size_t item_bytes, const Place& place);

// Append 'item', which came in 'field', to 'list'. Throws ModelError if that makes more than 'max'.
template <class T>
void append(std::vector<T>& list, T item, std::size_t max, const Field& field, const Place& place) {
    if (list.size() == max)
        refuse(place, field.bytes.begin,
               "more than " + std::to_string(max) + " of " + field.rule->name);
    list.push_back(std::move(item));
}

}  // namespace nigro::protobuf
