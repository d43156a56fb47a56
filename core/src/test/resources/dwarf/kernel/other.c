struct only_here { int first; struct { short second; }; };
struct twin { int one; };
struct only_here only_here; struct twin twin;
