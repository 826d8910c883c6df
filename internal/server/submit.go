package server

func (s *Server) submitRoutes() []route { return nil }
