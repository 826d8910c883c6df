package render

import (
	"math/rand/v2"
	"strings"
)

// rgb is a colour with channels 0..255.
type rgb struct{ r, g, b float32 }

func hex(v uint32) rgb {
	return rgb{float32(v >> 16), float32(v >> 8 & 0xff), float32(v & 0xff)}
}

// mix goes from a to b as t goes from 0 to 1; t outside is taken as the end.
func mix(a, b rgb, t float64) rgb {
	f := float32(min(max(t, 0), 1))
	return rgb{a.r + (b.r-a.r)*f, a.g + (b.g-a.g)*f, a.b + (b.b-a.b)*f}
}

// scaled makes a colour darker (f < 1) or lighter (f > 1).
func (c rgb) scaled(f float64) rgb {
	k := float32(f)
	return rgb{min(c.r*k, 255), min(c.g*k, 255), min(c.b*k, 255)}
}

// palette is five colours that go together, from the top of a sky down.
type palette struct {
	deep, mid, glow, accent, dark rgb
}

// palettes and the words of a prompt that call for each.
var palettes = []struct {
	palette
	words []string
}{
	{palette{hex(0x1b2a6b), hex(0xb2466e), hex(0xffc27a), hex(0xff6b4a), hex(0x1a1230)}, []string{"sunset", "dusk", "evening", "warm", "fire", "autumn"}},
	{palette{hex(0x0b3c6f), hex(0x2a8fbd), hex(0xd9f2ee), hex(0xffd166), hex(0x06263f)}, []string{"sea", "ocean", "bay", "water", "lake", "boat", "rain", "puddle", "river"}},
	{palette{hex(0x0d3b2e), hex(0x3f8f5f), hex(0xe9f0b4), hex(0xf4a259), hex(0x08201a)}, []string{"forest", "tree", "leaf", "garden", "grass", "green", "jungle", "aurora"}},
	{palette{hex(0x070b24), hex(0x2c2a6e), hex(0x8d7bd8), hex(0xf7e08b), hex(0x04050f)}, []string{"night", "star", "moon", "space", "dark", "planet", "galaxy"}},
	{palette{hex(0x7a4a2b), hex(0xd08c51), hex(0xffe5b4), hex(0x2a7f86), hex(0x3a2015)}, []string{"desert", "sand", "dune", "coffee", "wood", "brown"}},
	{palette{hex(0x4a6fa5), hex(0xa9c6e3), hex(0xfbfbff), hex(0xe05a77), hex(0x22344f)}, []string{"snow", "ice", "winter", "cloud", "sky", "white", "kite"}},
	{palette{hex(0x3d1e6d), hex(0xc0479f), hex(0xffd0e8), hex(0x32d6c5), hex(0x190b33)}, []string{"neon", "city", "cyber", "robot", "pink", "purple"}},
	{palette{hex(0x22577a), hex(0x38a3a5), hex(0xc7f9cc), hex(0xff9f6e), hex(0x12303f)}, nil},
	{palette{hex(0x8c2f39), hex(0xe07a5f), hex(0xf6e7cb), hex(0x3d5a80), hex(0x2b1216)}, []string{"red", "food", "kitchen", "interior", "room", "sofa"}},
	{palette{hex(0x2f3e63), hex(0x8a6fb0), hex(0xffd6ba), hex(0xffb627), hex(0x171b2e)}, []string{"dawn", "sunrise", "morning", "spring", "flower"}},
}

func choosePalette(prompt string, rng *rand.Rand) palette {
	fallback := rng.IntN(len(palettes))
	for _, word := range words(prompt) {
		for _, p := range palettes {
			for _, w := range p.words {
				if word == w || word == w+"s" {
					return p.palette
				}
			}
		}
	}
	return palettes[fallback].palette
}

// composition returns which of paint's compositions the prompt's words call for.
func composition(prompt string) (kind int, ok bool) {
	for _, word := range words(prompt) {
		switch strings.TrimSuffix(word, "s") {
		case "mountain", "hill", "dune", "bay", "sea", "ocean", "lake", "landscape", "desert", "valley", "sunset", "sunrise", "forest", "boat", "river", "house", "beach":
			return 0, true
		case "ball", "sphere", "bubble", "planet", "marble", "orb", "fruit", "balloon", "product":
			return 1, true
		case "wave", "silk", "aurora", "smoke", "wind", "music", "kite", "flow", "fabric":
			return 2, true
		case "pattern", "tile", "bauhaus", "poster", "geometric", "city", "mosaic", "quilt", "logo":
			return 3, true
		}
	}
	return 0, false
}

// words splits a prompt at everything that is not a letter, in lower case. Only
// its start counts, so that a huge prompt costs no more than a long one.
func words(prompt string) []string {
	if len(prompt) > 2000 {
		prompt = prompt[:2000]
	}
	return strings.FieldsFunc(strings.ToLower(prompt), func(r rune) bool { return (r < 'a' || r > 'z') && r < 0x80 })
}
