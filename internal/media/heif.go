package media

// probeHEIF reads the size of an AVIF or HEIC image from its item properties. An image in tiles has the size of the whole
// and that of a tile there, and thumbnails have theirs: the largest counts.
// Source: ISO/IEC 23008-12, section 6.5 (ispe, irot).
func probeHEIF(w *window, p *Properties) error {
	found := false
	err := w.topLevel(func(b box) error {
		if found && !standsAtTop(b.kind) {
			return errDone
		}
		if b.kind != "meta" || found {
			return nil
		}
		found = true
		return w.boxes(b.start+4, b.end, func(b box) error { // behind version and flags
			if b.kind != "iprp" {
				return nil
			}
			return w.boxes(b.start, b.end, func(b box) error {
				if b.kind != "ipco" {
					return nil
				}
				return w.boxes(b.start, b.end, func(b box) error { return p.readProperty(w, b) })
			})
		})
	})
	if err == nil && !found {
		return ErrTruncated // broken off between two boxes
	}
	return err
}

func (p *Properties) readProperty(w *window, b box) error {
	switch {
	case b.kind == "ispe" && b.end-b.start >= 12:
		width, err := w.uint32(b.start + 4)
		if err != nil {
			return err
		}
		height, err := w.uint32(b.start + 8)
		if err != nil {
			return err
		}
		p.grow(uint64(width), uint64(height))
	case b.kind == "irot" && b.end-b.start >= 1:
		angle, err := w.read(b.start, 1)
		if err != nil {
			return err
		}
		p.Orientation = [4]int{1, 8, 3, 6}[angle[0]&3] // quarter turns against the clock
	}
	return nil
}
