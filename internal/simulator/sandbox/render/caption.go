package render

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"strings"
	"unicode"

	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// captionArea is the band at the foot of the picture that may hold text.
func (s Scene) captionArea() image.Rectangle {
	return image.Rect(0, s.Height-s.Height*45/100, s.Width, s.Height)
}

// maxCaption bounds the work that a huge prompt causes, in characters.
const maxCaption = 1200

// caption writes the prompt and a line about the scene into area, bottom
// aligned, on a darkened band so that it reads on every picture.
func (r *Renderer) caption(img *image.RGBA, s Scene, area image.Rectangle) error {
	side := float64(min(s.Width, s.Height))
	pad := max(int(side*0.035), 3)
	text := area.Inset(pad)
	size := min(max(side*0.05, 9), 120)
	small, err := face(r.regular, max(size*0.52, 7))
	if err != nil {
		return err
	}
	defer small.Close()
	notes := clipLine(small, s.notes(), text.Dx())
	room := text.Dy() - lineHeight(small) - pad/2

	lines, big, err := r.fit(s.Prompt, size, text.Dx(), room)
	if err != nil {
		return err
	}
	defer big.Close()

	height := len(lines)*lineHeight(big) + pad/2 + lineHeight(small) + 2*pad
	band := image.Rect(area.Min.X, area.Max.Y-height, area.Max.X, area.Max.Y)
	draw.Draw(img, band, image.NewUniform(color.RGBA{A: 165}), image.Point{}, draw.Over)

	y := band.Min.Y + pad
	for _, line := range lines {
		write(img, big, color.White, text.Min.X, y, line)
		y += lineHeight(big)
	}
	write(img, small, color.RGBA{200, 200, 200, 255}, text.Min.X, y+pad/2, notes)
	return nil
}

// notes is the small line under the prompt.
func (s Scene) notes() string {
	out := fmt.Sprintf("%s  ·  seed %d  ·  %d×%d", s.Model, s.Seed, s.Width, s.Height)
	if s.Count > 1 {
		out += fmt.Sprintf("  ·  %d of %d", s.Index+1, s.Count)
	}
	if n := len(s.References); n > 0 {
		out += fmt.Sprintf("  ·  references %d", n)
	}
	return out
}

// fit breaks the prompt into lines no wider than width, in the largest of a few
// type sizes at which they are no higher than height; at the smallest it cuts.
func (r *Renderer) fit(prompt string, size float64, width, height int) ([]string, font.Face, error) {
	for shrink := 1.0; ; shrink *= 0.8 {
		f, err := face(r.bold, max(size*shrink, 8))
		if err != nil {
			return nil, nil, err
		}
		rows := max(height/lineHeight(f), 1)
		lines := wrap(f, prompt, width, rows+1)
		if len(lines) <= rows {
			return lines, f, nil
		}
		if shrink < 0.55 || size*shrink <= 8 {
			lines = lines[:rows]
			lines[rows-1] = clipLine(f, lines[rows-1]+" …", width)
			return lines, f, nil
		}
		f.Close()
	}
}

func face(f *opentype.Font, size float64) (font.Face, error) {
	out, err := opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return nil, fmt.Errorf("render: typeface at %.1f px: %w", size, err)
	}
	return out, nil
}

func lineHeight(f font.Face) int { return f.Metrics().Height.Ceil() }

// wrap breaks text at spaces, and inside words only where one is wider than a
// line. It stops after limit lines.
func wrap(f font.Face, text string, width, limit int) (lines []string) {
	if r := []rune(text); len(r) > maxCaption {
		text = string(r[:maxCaption])
	}
	line := ""
	for _, word := range strings.Fields(printable(text)) {
		for {
			if len(lines) >= limit {
				return lines
			}
			try := word
			if line != "" {
				try = line + " " + word
			}
			if font.MeasureString(f, try).Ceil() <= width {
				line = try
				break
			}
			if line != "" {
				lines, line = append(lines, line), ""
				continue
			}
			head := fitting(f, word, width)
			lines = append(lines, word[:head])
			word = word[head:]
			if word == "" {
				break
			}
		}
	}
	if line != "" && len(lines) < limit {
		lines = append(lines, line)
	}
	return lines
}

// fitting returns how many bytes of text, at least one character, fit in width.
func fitting(f font.Face, text string, width int) int {
	end := 0
	for i, r := range text {
		next := i + len(string(r))
		if end > 0 && font.MeasureString(f, text[:next]).Ceil() > width {
			break
		}
		end = next
	}
	return end
}

// clipLine shortens a line to the width and marks the cut.
func clipLine(f font.Face, line string, width int) string {
	if font.MeasureString(f, line).Ceil() <= width {
		return line
	}
	r := []rune(strings.TrimSuffix(line, " …"))
	for len(r) > 0 && font.MeasureString(f, string(r)+"…").Ceil() > width {
		r = r[:len(r)-1]
	}
	return strings.TrimRight(string(r), " ") + "…"
}

// printable replaces what cannot be drawn as text by spaces. Characters that
// the typeface lacks, such as Chinese ones, are drawn as its empty box.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// write draws one line with its top at y.
func write(img *image.RGBA, f font.Face, col color.Color, x, y int, text string) {
	d := font.Drawer{Dst: img, Src: image.NewUniform(col), Face: f}
	d.Dot = fixed.P(x, y+f.Metrics().Ascent.Ceil())
	d.DrawString(text)
}
