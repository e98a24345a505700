/** Vite collects the imported style sheets in one file, which index.html links. */
declare module '*.css';
