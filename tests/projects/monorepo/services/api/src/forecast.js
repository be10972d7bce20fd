const celsius = { Bergen: 8, Lisbon: 21, Oslo: 4 }

export function forecast(city, units = 'metric') {
  if (!(city in celsius)) return undefined
  const degrees = celsius[city]
  return { city, degrees: units === 'imperial' ? Math.round(degrees * 1.8 + 32) : degrees }
}
