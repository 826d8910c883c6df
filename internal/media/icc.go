package media

import (
	"bytes"
	"encoding/binary"
)

const (
	// iccSegment opens each part of a colour profile in a JPEG. Source: ICC.1:2022, annex B.4.
	iccSegment = "ICC_PROFILE\x00"
	// maxProfile is the largest colour profile that is kept. Those of displays and cameras have some kilobytes, those of
	// printing presses one or two megabytes.
	maxProfile = 4 << 20
	// The colour spaces of a profile, at its byte 16. Source: ICC.1:2022, table 19.
	iccRGB  = "RGB "
	iccGray = "GRAY"
)

// iccProfile is a colour profile that looks like one.
type iccProfile []byte

// checkedProfile returns data as a profile for pixels of a colour space, or nil where it is none: what is no profile has
// no business in the file, and one for other pixels would break their colours.
func checkedProfile(data []byte, space string) iccProfile {
	const header = 128
	if len(data) < header || len(data) > maxProfile || int64(binary.BigEndian.Uint32(data)) != int64(len(data)) ||
		string(data[36:40]) != "acsp" || string(data[16:20]) != space {
		return nil
	}
	return data
}

// iccChunks gathers the parts of a profile in a JPEG: each has its number, from 1, and how many there are.
type iccChunks struct {
	parts [256][]byte
	total byte
	bad   bool
}

func (c *iccChunks) add(content []byte) {
	if len(content) < 2 || content[0] == 0 || content[0] > content[1] || c.total != 0 && c.total != content[1] || c.parts[content[0]] != nil {
		c.bad = true
		return
	}
	c.total = content[1]
	c.parts[content[0]] = content[2:]
}

func (c *iccChunks) profile(space string) iccProfile {
	if c.bad || c.total == 0 {
		return nil
	}
	for _, part := range c.parts[1 : int(c.total)+1] {
		if part == nil {
			return nil
		}
	}
	return checkedProfile(bytes.Join(c.parts[1:int(c.total)+1], nil), space)
}

// writeJPEGProfile writes a profile in as few parts as it takes; nil writes nothing.
func writeJPEGProfile(b *bytes.Buffer, profile iccProfile) {
	const room = 0xffff - 2 - len(iccSegment) - 2
	total := (len(profile) + room - 1) / room
	for i := range total {
		part := profile[i*room : min((i+1)*room, len(profile))]
		writeSegment(b, mAPP2, []byte(iccSegment), []byte{byte(i + 1), byte(total)}, part)
	}
}
