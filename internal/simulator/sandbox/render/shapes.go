package render

import "math"

// spheres draws glossy balls with soft shadows on a seamless backdrop.
func (c *canvas) spheres() {
	w, h := float64(c.w), float64(c.h)
	wall := mix(c.palette.mid, c.palette.glow, 0.55)
	floor := mix(c.palette.mid, c.palette.deep, 0.35)
	edge := c.between(0.45, 0.6)
	c.backdrop(func(u, v float64) rgb {
		col := mix(wall, floor, smooth((v-edge)*2.4))
		light := math.Exp(-3 * ((u-0.3)*(u-0.3) + (v-0.25)*(v-0.25)))
		col = mix(col, c.palette.glow, 0.6*light)
		return mix(col, c.palette.deep, 0.25*(c.noise.fractal(u*2.5, v*2.5, 3)-0.3))
	})
	colours := []rgb{c.palette.accent, c.palette.deep, c.palette.glow, c.palette.mid, c.palette.dark}
	count := 6 + c.rng.IntN(5)
	for i := range count {
		// Back to front: later balls are larger and lower.
		near := float64(i+1) / float64(count)
		radius := c.side * (0.05 + 0.13*near) * c.between(0.55, 1.15)
		x, y := c.between(0.08, 0.92)*w, (0.25+0.45*near)*h+c.between(-0.1, 0.1)*h
		c.shadow(x+radius*0.35, y+radius*0.95, radius)
		c.sphere(x, y, radius, colours[i%len(colours)])
	}
}

func (c *canvas) shadow(cx, cy, radius float64) {
	c.around(cx, cy, radius*1.8, func(o int, dx, dy float64) {
		d := math.Hypot(dx, dy*2.6) / (radius * 1.5)
		c.blend(o, c.palette.dark, 0.5*smooth(1-d))
	})
}

// sphere shades a ball lit from the upper left.
func (c *canvas) sphere(cx, cy, radius float64, col rgb) {
	banded := c.chance(0.35)
	c.around(cx, cy, radius+1, func(o int, dx, dy float64) {
		d := math.Hypot(dx, dy)
		cover := radius - d + 0.5
		if cover <= 0 {
			return
		}
		nx, ny := dx/radius, dy/radius
		nz := math.Sqrt(max(1-nx*nx-ny*ny, 0))
		base := col
		if banded {
			f := c.noise.fractal(nx*1.5+cx, ny*5+nx+cy, 3)
			base = mix(col.scaled(0.75), mix(col, c.palette.glow, 0.6), smooth(f*3-1))
		}
		light := max(-0.5*nx-0.62*ny+0.6*nz, 0)
		shade := mix(base.scaled(0.28), base.scaled(1.08), light)
		rim := math.Pow(1-nz, 3)
		shade = mix(shade, c.palette.glow, rim*0.45)
		if s := -0.42*nx - 0.52*ny + 0.74*nz; s > 0.9 {
			shade = mix(shade, rgb{255, 255, 255}, smooth((s-0.9)*10)*0.85)
		}
		c.blend(o, shade, cover)
	})
}

// ribbons draws translucent bands that flow across the picture.
func (c *canvas) ribbons() {
	c.backdrop(func(u, v float64) rgb {
		f := c.noise.fractal(u*1.5+c.noise.at(v*2, u*2), v*1.5, 3)
		col := mix(c.palette.dark, c.palette.deep, 0.35+smooth(f*1.8-0.4))
		return mix(col, c.palette.mid, 0.5*smooth(1-math.Hypot(u-0.7, v-0.2)*1.3))
	})
	colours := []rgb{c.palette.mid, c.palette.accent, c.palette.glow, mix(c.palette.mid, c.palette.glow, 0.5)}
	count := 9 + c.rng.IntN(6)
	tilt, bend := c.between(-0.35, 0.35), c.between(0.06, 0.16)
	freq, phase := c.between(0.7, 1.5), c.between(0, 7)
	for i := range count {
		t := float64(i) / float64(count-1)
		c.ribbon(colours[i%len(colours)], ribbonShape{
			level: 0.12 + 0.62*t + c.between(-0.03, 0.03), tilt: tilt * (1 - t*0.6),
			bend: bend, freq: freq, phase: phase + t*2.4,
			width: c.between(0.05, 0.16), shift: c.between(0, 50),
		})
	}
}

// ribbonShape is a band's course; levels and widths are fractions of the height
// or the shorter side.
type ribbonShape struct {
	level, tilt, bend, freq, phase, width, shift float64
}

func (c *canvas) ribbon(col rgb, s ribbonShape) {
	light := mix(col, rgb{255, 255, 255}, 0.5)
	for x := range c.w {
		u := float64(x) / float64(c.w)
		wave := math.Sin(u*s.freq*2*math.Pi+s.phase) + 0.4*math.Sin(u*s.freq*4.7+s.phase*1.7)
		mid := (s.level + s.tilt*(u-0.5) + s.bend*wave) * float64(c.h)
		half := c.side * s.width * (0.35 + 0.65*math.Abs(math.Sin(u*s.freq*3+s.shift)))
		y0, y1 := max(int(mid-half), 0), min(int(mid+half)+1, c.h-1)
		for y := y0; y <= y1; y++ {
			// -1 at the upper edge, which is crisp, to 1 at the lower, which
			// fades out.
			t := (float64(y) + 0.5 - mid) / half
			alpha := min((t+1)*half, 1) * (1 - t) * 0.38
			c.blend(c.img.PixOffset(x, y), mix(light, col, (t+1)*1.6), alpha)
		}
	}
}

// tiles draws a poster of circles, arcs and wedges on a grid.
func (c *canvas) tiles() {
	across := 4 + c.rng.IntN(3)
	size := math.Ceil(c.side / float64(across))
	colours := []rgb{c.palette.deep, c.palette.accent, c.palette.glow, c.palette.mid, c.palette.dark, mix(c.palette.glow, c.palette.accent, 0.4)}
	c.backdrop(func(float64, float64) rgb { return c.palette.glow })
	for ty := 0.0; ty < float64(c.h); ty += size {
		for tx := 0.0; tx < float64(c.w); tx += size {
			i := c.rng.IntN(len(colours))
			j := (i + 1 + c.rng.IntN(len(colours)-1)) % len(colours)
			k := (j + 1 + c.rng.IntN(len(colours)-1)) % len(colours)
			c.tile(tx, ty, size, c.rng.IntN(6), c.rng.IntN(4), colours[i], colours[j], colours[k])
		}
	}
}

// tile fills one square. Every shape is a distance in pixels from its edge,
// positive inside, which also smooths the edge.
func (c *canvas) tile(tx, ty, size float64, shape, turn int, ground, col, detail rgb) {
	half := size / 2
	c.around(tx+half, ty+half, half, func(o int, dx, dy float64) {
		if dx < -half || dx >= half || dy < -half || dy >= half {
			return
		}
		for range turn {
			dx, dy = -dy, dx
		}
		c.blend(o, ground, 1)
		corner := math.Hypot(dx+half, dy+half)
		centre := math.Hypot(dx, dy)
		switch shape {
		case 0: // quarter circle with a smaller one in it
			c.blend(o, col, size-corner)
			c.blend(o, detail, half-corner)
		case 1: // arcs
			ring := math.Mod(corner, size/2.5)
			c.blend(o, col, min(ring-size/8, size/2.5-size/12-ring)+0.5)
		case 2: // disc with a dot
			c.blend(o, col, half*0.86-centre)
			c.blend(o, detail, half*0.36-centre)
		case 3: // half disc
			c.blend(o, col, min(size*0.98-math.Hypot(dx, dy+half)*2, dy+half))
		case 4: // wedge
			c.blend(o, col, (dx-dy)/math.Sqrt2+0.5)
			c.blend(o, detail, size*0.16-math.Hypot(dx-half*0.4, dy+half*0.4))
		case 5: // leaf: two quarter circles from opposite corners
			c.blend(o, col, size-max(corner, math.Hypot(dx-half, dy-half)))
		}
	})
}
