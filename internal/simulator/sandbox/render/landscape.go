package render

import "math"

// landscape draws a sky with a sun or moon, ridges that fade into the distance,
// and often water in front that mirrors them.
func (c *canvas) landscape() {
	w, h := float64(c.w), float64(c.h)
	// The caption takes the foot of the picture, so the scene keeps above it.
	horizon := c.between(0.42, 0.52)
	sunX, sunY := c.between(0.2, 0.8), horizon*c.between(0.35, 0.75)
	radius := c.side * c.between(0.05, 0.1)
	cloud := c.between(0.15, 0.4)
	aspect := w / h
	c.backdrop(func(u, v float64) rgb {
		t := v / horizon
		col := mix(c.palette.deep, c.palette.mid, smooth(t*1.4))
		col = mix(col, c.palette.glow, smooth(t*1.6-0.75))
		// Clouds are stretched sideways and lit from below.
		f := c.noise.fractal(u*3*aspect, v*9, 4)
		col = mix(col, c.palette.glow, smooth((f-0.52)*4)*cloud)
		d := math.Hypot((u-sunX)*aspect, v-sunY)
		return mix(col, c.palette.glow.scaled(1.1), math.Exp(-d*7)*0.85)
	})
	c.disc(sunX*w, sunY*h, radius, mix(c.palette.glow, rgb{255, 255, 255}, 0.55))

	water := c.h
	if c.chance(0.65) {
		water = int(h * c.between(0.6, 0.68))
	}
	c.ridges(horizon*h, water)
	c.mirror(water, sunX*w)
}

// disc draws a filled circle with a soft edge of one pixel.
func (c *canvas) disc(cx, cy, radius float64, col rgb) {
	c.around(cx, cy, radius+1, func(o int, dx, dy float64) {
		c.blend(o, col, radius-math.Hypot(dx, dy)+0.5)
	})
}

// ridges draws rows of hills from the horizon down to the row named floor, the
// nearest last.
func (c *canvas) ridges(horizon float64, floor int) {
	layers := 4 + c.rng.IntN(3)
	tops := make([]float64, c.w)
	depth := float64(floor) - horizon
	for l := range layers {
		near := float64(l) / float64(layers-1)
		level := horizon + depth*near*0.75
		tall := c.side * (0.07 + 0.12*near) * c.between(0.8, 1.3)
		freq := (1.2 + 2.2*(1-near)) / c.side * c.between(1.2, 2)
		shift := c.between(0, 1000)
		sharp := c.between(0.4, 1)
		for x := range tops {
			f := c.noise.fractal(shift+float64(x)*freq, float64(l)*17, 5)
			peak := 1 - math.Abs(2*f-1) // ridged: sharp crests
			tops[x] = level - tall*(f+(peak-f)*sharp)
		}
		far := mix(c.palette.glow, c.palette.mid, 0.35+0.65*near)
		top := mix(far, c.palette.dark, near*0.95)
		foot := mix(top, far, 0.45*(1-near)) // mist gathers between the far ones
		c.fillBelow(tops, floor, top, foot, tall*1.6)
	}
}

// fillBelow fills from the curve tops down to the row floor, changing from one
// colour to the other over fade pixels.
func (c *canvas) fillBelow(tops []float64, floor int, top, foot rgb, fade float64) {
	highest := tops[0]
	for _, t := range tops {
		highest = min(highest, t)
	}
	for y := max(int(highest), 0); y < floor; y++ {
		o := c.img.PixOffset(0, y)
		for _, t := range tops {
			if d := float64(y) + 1 - t; d > 0 {
				c.blend(o, mix(top, foot, d/fade), d)
			}
			o += 4
		}
	}
}

// mirror turns everything from the row named line down into water that shows
// what lies above, broken by ripples and a path of light below the sun.
func (c *canvas) mirror(line int, sunX float64) {
	depth := float64(c.h - line)
	for y := line; y < c.h; y++ {
		near := float64(y-line) / depth
		from := max(line-1-int(float64(y-line)*1.6), 0)
		o := c.img.PixOffset(0, y)
		src := c.img.PixOffset(0, from)
		for x := range c.w {
			ripple := c.noise.at(float64(x)/c.side*(30-18*near), float64(y)/c.side*140)
			sx := min(max(x+int((ripple-0.5)*c.side*0.035*(0.3+near)), 0), c.w-1)
			copy(c.img.Pix[o:o+3], c.img.Pix[src+sx*4:src+sx*4+3])
			c.blend(o, c.palette.deep, 0.22+0.3*near)
			spread := c.side * (0.03 + 0.12*near)
			if d := math.Abs(float64(x) - sunX); d < spread*2.5 && ripple > 0.55 {
				c.blend(o, c.palette.glow, math.Exp(-d*d/(spread*spread))*(ripple-0.55)*2)
			}
			o += 4
		}
	}
}
