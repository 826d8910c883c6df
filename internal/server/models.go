package server

func (s *Server) modelRoutes() []route { return nil }
