package h264

import "encoding/binary"

// NAL unit header bytes: nal_ref_idc and nal_unit_type (7.3.1).
const (
	nalNonIDR = 0x41 // a reference picture that needs the one before it
	nalIDR    = 0x65
	nalSPS    = 0x67
	nalPPS    = 0x68
)

const (
	log2MaxFrameNum = 8
	maxFrameNum     = 1 << log2MaxFrameNum
)

// bitWriter appends bits, most significant first.
type bitWriter struct {
	buf  []byte
	acc  uint64
	free uint // unused low bits of the 64 in acc
}

func (w *bitWriter) reset() { w.buf, w.acc, w.free = w.buf[:0], 0, 64 }

// bits appends the low n bits of v; n <= 32.
func (w *bitWriter) bits(v uint32, n uint) {
	if n == 0 {
		return
	}
	if n > w.free {
		// Only whole bytes leave, so that free stays above 56 afterwards.
		w.flushBytes()
	}
	w.free -= n
	w.acc |= uint64(v) << w.free
}

func (w *bitWriter) flushBytes() {
	for w.free <= 56 {
		w.buf = append(w.buf, byte(w.acc>>56))
		w.acc <<= 8
		w.free += 8
	}
}

// ue appends an unsigned Exp-Golomb code (9.1).
func (w *bitWriter) ue(v int) {
	x := uint32(v) + 1
	n := uint(0)
	for x>>(n+1) != 0 {
		n++
	}
	w.bits(0, n)
	w.bits(x, n+1)
}

// se appends a signed Exp-Golomb code (9.1.1).
func (w *bitWriter) se(v int) {
	if v > 0 {
		w.ue(2*v - 1)
	} else {
		w.ue(-2 * v)
	}
}

func (w *bitWriter) flag(b bool) {
	if b {
		w.bits(1, 1)
	} else {
		w.bits(0, 1)
	}
}

// finish appends the stop bit and the alignment (7.3.2.11) and returns the
// bytes, which stay valid until the next reset.
func (w *bitWriter) finish() []byte {
	w.bits(1, 1)
	w.flushBytes()
	if w.free < 64 {
		w.buf = append(w.buf, byte(w.acc>>56))
		w.acc, w.free = 0, 64
	}
	return w.buf
}

// nalUnit wraps a payload with its length, header and the emulation prevention
// bytes that keep three-byte start codes out of it (7.4.1.1).
func nalUnit(header byte, payload []byte) []byte {
	out := make([]byte, 5, len(payload)+len(payload)/64+16)
	out[4] = header
	zeros := 0
	for _, b := range payload {
		if zeros == 2 && b <= 3 {
			out = append(out, 3)
			zeros = 0
		}
		out = append(out, b)
		if b == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	return out
}

// levels of Table A-1: level_idc, macroblocks a second, macroblocks a picture.
var levels = []struct{ idc, perSecond, perPicture int }{
	{10, 1485, 99}, {11, 3000, 396}, {12, 6000, 396}, {13, 11880, 396}, {20, 11880, 396}, {21, 19800, 792},
	{22, 20250, 1620}, {30, 40500, 1620}, {31, 108000, 3600}, {32, 216000, 5120}, {40, 245760, 8192},
	{42, 522240, 8704}, {50, 589824, 22080}, {51, 983040, 36864}, {52, 2073600, 36864},
}

// level returns the lowest level that a stream of this size and rate keeps to.
// A side may be the square root of eight times the picture's limit (A.3.1).
func (e *Encoder) level() (idc int, ok bool) {
	blocks, side := e.mbw*e.mbh, max(e.mbw, e.mbh)
	for _, l := range levels {
		if blocks <= l.perPicture && blocks*e.cfg.FramesPerSecond <= l.perSecond && side*side <= 8*l.perPicture {
			return l.idc, true
		}
	}
	return 0, false
}

// SPS returns the sequence parameter set (7.3.2.1.1) without a length prefix.
func (e *Encoder) SPS() []byte {
	var w bitWriter
	w.reset()
	idc, _ := e.level()
	w.bits(66, 8)   // profile_idc: Baseline
	w.bits(0xc0, 8) // constraint_set0 and set1: also decodable as Main
	w.bits(uint32(idc), 8)
	w.ue(0) // seq_parameter_set_id
	w.ue(log2MaxFrameNum - 4)
	w.ue(2) // pic_order_cnt_type: output order is decoding order
	w.ue(1) // max_num_ref_frames
	w.flag(false)
	w.ue(e.mbw - 1)
	w.ue(e.mbh - 1)
	w.flag(true) // frame_mbs_only
	w.flag(true) // direct_8x8_inference
	right, bottom := e.mbw*16-e.cfg.Width, e.mbh*16-e.cfg.Height
	w.flag(right+bottom > 0)
	if right+bottom > 0 {
		// Crop offsets count chroma samples.
		w.ue(0)
		w.ue(right / 2)
		w.ue(0)
		w.ue(bottom / 2)
	}
	w.flag(true) // vui_parameters_present
	w.flag(true)
	w.bits(1, 8)  // square pixels
	w.flag(false) // overscan_info_present
	w.flag(true)  // video_signal_type_present
	w.bits(5, 3)  // video_format: unspecified
	w.flag(false) // video_full_range
	w.flag(true)
	w.bits(1, 8) // BT.709 primaries, transfer and matrix
	w.bits(1, 8)
	w.bits(1, 8)
	w.flag(false) // chroma_loc_info_present
	w.flag(true)  // timing_info_present; a frame is two ticks
	w.bits(1, 32)
	w.bits(uint32(2*e.cfg.FramesPerSecond), 32)
	w.flag(true)
	w.flag(false) // nal_hrd, vcl_hrd, pic_struct
	w.flag(false)
	w.flag(false)
	w.flag(true) // bitstream_restriction: nothing is reordered, so players need no delay
	w.flag(true)
	w.ue(0)
	w.ue(0)
	w.ue(10)
	w.ue(10)
	w.ue(0)
	w.ue(1)
	return nalUnit(nalSPS, w.finish())[4:]
}

// PPS returns the picture parameter set (7.3.2.2) without a length prefix.
func (e *Encoder) PPS() []byte {
	var w bitWriter
	w.reset()
	w.ue(0)       // pic_parameter_set_id
	w.ue(0)       // seq_parameter_set_id
	w.flag(false) // entropy_coding_mode: CAVLC
	w.flag(false) // bottom_field_pic_order_in_frame_present
	w.ue(0)       // one slice group
	w.ue(0)       // one reference in each list
	w.ue(0)
	w.flag(false) // weighted_pred
	w.bits(0, 2)
	w.se(e.cfg.QP - 26)
	w.se(0)
	w.se(0)       // chroma_qp_index_offset
	w.flag(true)  // deblocking_filter_control_present
	w.flag(false) // constrained_intra_pred
	w.flag(false) // redundant_pic_cnt_present
	return nalUnit(nalPPS, w.finish())[4:]
}

// sliceHeader appends the header of a slice that is a whole picture (7.3.3).
func (e *Encoder) sliceHeader(w *bitWriter, key bool) {
	w.ue(0) // first_mb_in_slice
	if key {
		w.ue(7) // all slices of the picture are I
	} else {
		w.ue(5) // all slices of the picture are P
	}
	w.ue(0) // pic_parameter_set_id
	if key {
		w.bits(0, log2MaxFrameNum)
		w.ue(e.idrID) // differs between neighbouring IDR pictures
		w.flag(false) // no_output_of_prior_pics
		w.flag(false) // long_term_reference
	} else {
		w.bits(uint32(e.frameNum), log2MaxFrameNum)
		w.flag(false) // num_ref_idx_active_override
		w.flag(false) // ref_pic_list_modification
		w.flag(false) // adaptive_ref_pic_marking: sliding window
	}
	w.se(0) // slice_qp_delta
	w.ue(1) // disable_deblocking_filter_idc
}
