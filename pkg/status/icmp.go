package status

import (
	"encoding/binary"
	"slices"
)

// The types of an echo's messages: RFC 792 and RFC 4443.
const (
	request4, reply4 = 8, 0
	request6, reply6 = 128, 129
)

const headerICMP = 8 // bytes: type, code, checksum, identifier, number

// echoMessage is an echo request. What comes before a message counts for the checksum of
// ICMPv6, which the kernel fills in where it makes the header.
func echoMessage(kind byte, id uint16, seq int, payload, before []byte) []byte {
	m := make([]byte, headerICMP, headerICMP+len(payload))
	m[0] = kind
	binary.BigEndian.PutUint16(m[4:], id)
	binary.BigEndian.PutUint16(m[6:], uint16(seq))
	m = append(m, payload...)
	binary.BigEndian.PutUint16(m[2:], checksum(slices.Concat(before, m)))
	return m
}

func payloadOf(message []byte, kind byte, id uint16) (payload []byte, ok bool) {
	if len(message) < headerICMP || message[0] != kind || binary.BigEndian.Uint16(message[4:]) != id {
		return nil, false
	}
	return message[headerICMP:], true
}

// checksum is that of RFC 1071, of IPv4's header and of ICMP.
func checksum(data []byte) uint16 {
	var sum uint32
	for i, b := range data {
		sum += uint32(b) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
