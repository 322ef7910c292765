/** An invented release for whoever wants to see what the page does. */
export const EXAMPLE = {
  date: "2026-03-18",
  text: `Canada and Chile agree to work together on critical minerals
OTTAWA, March 18 – Minister of Natural Resources Claire Beaumont met with Chile’s Minister of Mining Rodrigo Alarcón in Ottawa today to discuss lithium and copper supply chains.

The two ministers signed a memorandum of understanding (MOU) on critical minerals. Under the MOU, Canada and Chile will share geological data and train 200 young engineers by 2029. Minister Alarcón invited Minister Beaumont to the Andean Mining Forum, which will be held in Antofagasta in October.

Minister Beaumont also hosted a roundtable with mining companies. At the roundtable, Norlake Metals, a refiner based in Sudbury, pledged to invest CAD 120 million in a recycling plant in Antofagasta by 2028, and the Chilean Copper Commission (Cochilco) promised to publish its water use every year.

“Both countries gain when the rules are clear,” Alarcón said.
`,
};
